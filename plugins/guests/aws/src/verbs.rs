//! What an action does, by its name. Names are all that thousands of actions have in common; where one could hide more
//! than it says, the answer is the group that ceilings give away last.

use narrowgate_plugin::Group;

const READS: &[&str] = &["BatchGet", "Describe", "Filter", "Get", "Head", "List", "Lookup", "Query", "Scan", "Search"];

const DELETES: &[&str] = &["BatchDelete", "Delete", "Deregister", "Purge", "Remove", "Terminate"];

const WRITES: &[&str] = &[
    "Add",
    "BatchPut",
    "BatchWrite",
    "Cancel",
    "Change",
    "Complete",
    "Copy",
    "Create",
    "Import",
    "Publish",
    "Put",
    "Reboot",
    "Receive",
    "Register",
    "Restore",
    "Retry",
    "Run",
    "Send",
    "Start",
    "Stop",
    "Submit",
    "Tag",
    "Untag",
    "Update",
    "Upload",
    "Write",
];

/// In the name of what is not only read: it changes who may do what.
const POWERS: &[&str] = &[
    "AccessKey",
    "Account",
    "Credential",
    "Grant",
    "KeyPair",
    "Password",
    "Permission",
    "Policy",
    "Principal",
    "Role",
    "Secret",
    "SecurityGroup",
    "Trust",
    "User",
];

/// They read, and what they read lets its reader in.
const CREDENTIALS: &[&str] = &[
    "BatchGetSecretValue",
    "GetAuthorizationToken",
    "GetClusterCredentials",
    "GetClusterCredentialsWithIAM",
    "GetInstanceAccessDetails",
    "GetParameter",
    "GetParameterHistory",
    "GetParameters",
    "GetParametersByPath",
    "GetPasswordData",
    "GetSecretValue",
];

/// The group of an action. A verb that is in none of the lists is `admin`.
pub(crate) fn group(action: &str) -> Group {
    let verb = |verbs: &[&str]| verbs.iter().any(|verb| starts_with_word(action, verb));
    if CREDENTIALS.contains(&action) {
        Group::Admin
    } else if verb(READS) {
        Group::Read
    } else if POWERS.iter().any(|power| action.contains(power)) {
        Group::Admin
    } else if verb(DELETES) {
        Group::Delete
    } else if verb(WRITES) {
        Group::Write
    } else {
        Group::Admin
    }
}

/// `Get` begins `GetItem`, and does not begin `Getaway`.
fn starts_with_word(action: &str, verb: &str) -> bool {
    action.strip_prefix(verb).is_some_and(|rest| !rest.starts_with(|next: char| next.is_ascii_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups() {
        for (action, expect) in [
            ("GetItem", Group::Read),
            ("DescribeInstances", Group::Read),
            ("BatchGetItem", Group::Read),
            ("ListPolicies", Group::Read),
            ("Query", Group::Read),
            ("PutItem", Group::Write),
            ("RunInstances", Group::Write),
            ("BatchWriteItem", Group::Write),
            ("DeleteItem", Group::Delete),
            ("TerminateInstances", Group::Delete),
            ("Getaway", Group::Admin),
            ("GetSecretValue", Group::Admin),
            ("GetParametersByPath", Group::Admin),
            ("PutResourcePolicy", Group::Admin),
            ("AddPermission", Group::Admin),
            ("CreateKeyPair", Group::Admin),
            ("DeleteSecurityGroup", Group::Admin),
            ("AuthorizeSecurityGroupIngress", Group::Admin),
            ("ModifyImageAttribute", Group::Admin),
            ("SetQueueAttributes", Group::Admin),
            ("ExecuteStatement", Group::Admin),
            ("TransactWriteItems", Group::Admin),
            ("", Group::Admin),
        ] {
            assert_eq!(group(action), expect, "{action}");
        }
    }
}
