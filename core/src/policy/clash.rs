//! Endpoints of one policy that could match the same connection and would be in each other's way.

use super::{Endpoint, Policy, Traffic};
use crate::vocabulary::PluginName;

/// An endpoint's entry and its index there.
type Place = (String, usize);

/// Two endpoints that no policy can have together (a ceiling may).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Clash {
    /// One opaque and one inspected.
    #[error(
        "this L4 endpoint would let through everything that {}/endpoints/{} inspects on the same host and port; \
         give them different hosts or ports, or make both inspected",
        .inspected.0, .inspected.1
    )]
    Layers { opaque: Place, inspected: Place },
    /// Two plugins.
    #[error(
        "this endpoint speaks {protocol} and {}/endpoints/{} speaks {other} on the same host and port; \
         a request has one meaning, so give them different hosts or ports",
        .there.0, .there.1
    )]
    Protocols { place: Place, protocol: PluginName, there: Place, other: PluginName },
}

impl Clash {
    /// The endpoint that the message is about.
    pub(crate) fn place(&self) -> (&str, usize) {
        let (Clash::Layers { opaque: (key, at), .. } | Clash::Protocols { place: (key, at), .. }) = self;
        (key, *at)
    }
}

impl Policy {
    /// The first pair of endpoints that makes this no policy.
    pub(crate) fn clash(&self) -> Option<Clash> {
        let all: Vec<(Place, &Endpoint)> = self
            .entries
            .iter()
            .flat_map(|(key, entry)| {
                entry.endpoints.iter().enumerate().map(move |(at, endpoint)| ((key.clone(), at), endpoint))
            })
            .collect();
        let inspected: Vec<_> = all.iter().filter(|(_, endpoint)| endpoint.traffic != Traffic::Opaque).collect();
        for (place, opaque) in all.iter().filter(|(_, endpoint)| endpoint.traffic == Traffic::Opaque) {
            if let Some((other, _)) = inspected.iter().find(|(_, other)| other.may_meet(opaque)) {
                return Some(Clash::Layers { opaque: place.clone(), inspected: other.clone() });
            }
        }
        let spoken: Vec<_> =
            all.iter().filter_map(|(place, endpoint)| Some((place, *endpoint, endpoint.plugin()?))).collect();
        spoken.iter().enumerate().find_map(|(at, (there, one, other))| {
            let later = spoken.iter().skip(at + 1);
            let (place, _, protocol) = later.into_iter().find(|(_, two, name)| name != other && two.may_meet(one))?;
            Some(Clash::Protocols {
                place: (*place).clone(),
                protocol: (*protocol).clone(),
                there: (*there).clone(),
                other: (*other).clone(),
            })
        })
    }
}

impl Endpoint {
    /// The plugin that says what requests mean here.
    pub fn plugin(&self) -> Option<&PluginName> {
        match &self.traffic {
            Traffic::Rest(rest) => rest.plugin(),
            Traffic::Opaque => None,
        }
    }

    /// Whether one connection could be to both.
    fn may_meet(&self, other: &Endpoint) -> bool {
        self.host.overlaps(&other.host) && self.ports.iter().any(|port| other.ports.contains(port))
    }
}
