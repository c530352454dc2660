//! `narrowgate held forget ID`: a *never* is taken back.

use clap::Args;

use crate::args::Remote;
use crate::client::{failure, segment};
use crate::exit::{Ended, Exit};
use crate::output;
use crate::runtime::block_on;

/// Take an answer --never back: the next such request is asked about again
#[derive(Debug, Args)]
pub(crate) struct Forget {
    /// The id of the request that was answered so, `h_…` (`held list --status never`)
    id: String,
}

impl Forget {
    pub(super) fn run(self, remote: &Remote) -> Ended {
        let path = format!("/v1/held/never/{}", segment("held request", &self.id)?);
        let client = remote.client()?;
        block_on(async move {
            client.delete(&path).await.map_err(failure)?;
            output::line(format!("forgotten: what {} was about is asked about again", self.id))?;
            Ok(Exit::Done)
        })
    }
}
