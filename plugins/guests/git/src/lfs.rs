//! Large files: the batch request, which says whether objects will be fetched or stored. They move elsewhere, to where
//! the answer says.

use narrowgate_plugin::{Json, Operation, Refusal, Request, Result};

use crate::refname;

const MEDIA_TYPE: &str = "application/vnd.git-lfs+json";

/// The one operation of a batch request.
pub(crate) fn batch(request: &Request, repository: String) -> Result<Operation> {
    if request.media_type()? != MEDIA_TYPE {
        return Err(Refusal::malformed(format!("a batch request has the content type {MEDIA_TYPE}")));
    }
    request.check_charset()?;
    let body = request.json()?;
    // Most LFS servers are written in Go, whose JSON reader takes `Operation` for `operation`; members are read so that
    // this is refused.
    let action = match body.text_member("operation")? {
        Some("download") => "lfs.download",
        Some("upload") => "lfs.upload",
        _ => return Err(Refusal::malformed("a batch's `operation` is download or upload")),
    };
    let operation = Operation::new(action).text("repository", repository);
    match body.member("ref")? {
        None | Some(Json::Null) => Ok(operation),
        Some(named) => {
            let name = named.text_member("name")?.ok_or_else(|| Refusal::malformed("a batch's `ref` has a `name`"))?;
            Ok(operation.text("ref", refname::parse(name.as_bytes())?))
        }
    }
}
