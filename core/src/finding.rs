//! What is noted about a rule that fits under the ceiling, for whoever decides on it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One thing that a reviewer should know before granting a rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Finding {
    /// Which kind.
    pub name: FindingName,
    /// A JSON pointer into the policy that would be in force: the rule, or the member of its endpoint or entry, that
    /// the finding is about.
    #[serde(rename = "where")]
    pub at: String,
    /// The text there that gives rise to it, such as `/repos/**`.
    pub segment: String,
    /// One sentence for the reviewer.
    pub detail: String,
    /// The tightest entry of the rule language that covers the cited denials; absent where none is cited, and where the
    /// rule is as tight already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tightest: Option<Value>,
    /// The name of the credential that a risk is about. Not shown to the sandbox.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<String>,
    /// A request that the risk is about. Not shown to the sandbox.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub witness: Option<FindingWitness>,
}

/// A request that would be allowed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FindingWitness {
    /// The executable that would make it; empty for one that could not be identified.
    pub binary: String,
    /// The request as a command.
    pub curl: String,
}

/// The kinds of findings: how a rule is broader than the denials it answers, then what it puts at risk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FindingName {
    /// The policy would name a link-local address or a cloud's metadata service.
    LinkLocalReach,
    /// Opaque bytes to a host for which credentials are declared: no request there is inspected.
    L7BypassCredentialed,
    /// A binary newly reaches a host for which credentials are declared.
    CredentialReachExpansion,
    /// New methods that write, delete or administer, on a host that is already reached with credentials.
    CapabilityExpansion,
    /// No cited denial is about this.
    UnrelatedToDenial,
    /// Opaque bytes where requests could be inspected.
    L7ToL4,
    /// A host pattern with a wildcard.
    HostWildcard,
    /// Any program, a pattern of programs, or one that runs whatever it is given.
    AnyBinary,
    /// More methods than were denied.
    MethodAny,
    /// A subtree of paths.
    RecursivePath,
    /// A path with a wildcard within a segment.
    PathWildcard,
}

impl FindingName {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            FindingName::LinkLocalReach => "link_local_reach",
            FindingName::L7BypassCredentialed => "l7_bypass_credentialed",
            FindingName::CredentialReachExpansion => "credential_reach_expansion",
            FindingName::CapabilityExpansion => "capability_expansion",
            FindingName::UnrelatedToDenial => "unrelated_to_denial",
            FindingName::L7ToL4 => "l7_to_l4",
            FindingName::HostWildcard => "host_wildcard",
            FindingName::AnyBinary => "any_binary",
            FindingName::MethodAny => "method_any",
            FindingName::RecursivePath => "recursive_path",
            FindingName::PathWildcard => "path_wildcard",
        }
    }
}

impl std::fmt::Display for FindingName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Finding {
    /// The finding as the sandbox may see it: which credentials there are, and for which hosts, is not its to know.
    pub fn without_credentials(mut self) -> Finding {
        if self.credential.take().is_some() {
            self.detail = match self.name {
                FindingName::L7BypassCredentialed => "Nothing that passes there would be inspected.".to_owned(),
                FindingName::CapabilityExpansion => "This adds methods that change things.".to_owned(),
                _ => "A program reaches a host that it did not reach before.".to_owned(),
            };
            self.witness = None;
        }
        self
    }
}
