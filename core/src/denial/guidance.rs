//! What an agent is advised to do about a refusal, by who refused it: going on, asking, asking otherwise, or stopping.

use super::ReviewerNo;
use crate::decide::Reason;

/// In prose. `answer` is how a person said no, where one did.
pub(super) fn guidance(reason: Reason, answer: Option<ReviewerNo>) -> &'static str {
    match (reason, answer) {
        (Reason::NoMatchingRule | Reason::LeaseExpired, _) => {
            "Do not look for a way around this: ask for exactly what you need by posting the submit_proposal body (edit \
             its intent_summary to say why, and keep the rule this narrow). Then wait on \
             http://policy.local/v1/proposals/{id}/wait and, once policy_reloaded is true, send the same request again."
        }
        (Reason::DeniedByReviewer, Some(ReviewerNo::No)) => {
            "A person saw this request and said no to it; detail has their words, if they left any. Do not just send it \
             again, which at best asks the same person once more. Change course: do the task without it, or with something \
             narrower. Only if it cannot be done without, post the submit_proposal body with an intent_summary that says \
             what they could not see from the request: what it is for, and why nothing less will do."
        }
        (Reason::DeniedByReviewer, Some(ReviewerNo::Never)) => {
            "A person said no to this and to every request like it: it is refused from now on, and nobody is asked again. \
             Do not send it again and do not propose it. Do without it, or tell the person you work for what you needed \
             it for."
        }
        (Reason::DenyRule | Reason::DeniedByReviewer, _) => {
            "This was denied on purpose, and asking for the same again will be refused. Do without it, or tell the \
             person you work for what you needed it for."
        }
        (Reason::RequestAmbiguous, _) => {
            "Send the request in one plain form: no encoded slashes or dots, no empty segments, no ';' parameters, and \
             the same host in the connection, the TLS name and the Host header. No policy change will help."
        }
        (Reason::ReviewTimedOut, _) => {
            "Nobody was there to answer. Post the proposal and wait for it, or tell the person you work for."
        }
        (Reason::DestinationBlocked | Reason::DnsFailed | Reason::PluginError | Reason::PolicyUnavailable, _) => {
            "No proposal can change this. Check the destination, or tell the person you work for what happened."
        }
    }
}
