//! What this plugin can say.

use crate::{api, s3};
use narrowgate_plugin::{Action, Vocabulary};

/// Only forms and JSON are read; what is stored in S3 is streamed on unread.
const BODY_LIMIT: u32 = 1 << 20;

pub(crate) fn vocabulary() -> Vocabulary {
    let mut vocabulary = Vocabulary::new(
        "aws",
        env!("CARGO_PKG_VERSION"),
        "Amazon Web Services: S3, and the services that speak the query or the JSON protocol.",
    )
    .host("**.amazonaws.com")
    .header("content-type")
    .header(api::TARGET)
    .header(s3::COPY_SOURCE)
    .body(&["POST"], BODY_LIMIT);
    for (header, _) in s3::SIDE_EFFECTS {
        vocabulary = vocabulary.header(header);
    }
    vocabulary.actions(storage()).actions(calls())
}

fn storage() -> [Action; 13] {
    [
        Action::read("s3.buckets.list", "Lists all buckets.").region(),
        bucket(Action::read("s3.bucket.read", "Reads a bucket's settings, or whether it is there."))
            .optional_text("subresource", SUBRESOURCE),
        bucket(Action::write("s3.bucket.create", "Creates a bucket.").methods(&["PUT"])),
        bucket(Action::delete("s3.bucket.delete", "Deletes an empty bucket.")),
        bucket(
            Action::admin("s3.bucket.admin", "Changes a bucket's settings: policy, ACL, encryption, and the like.")
                .methods(&["PUT", "DELETE"]),
        )
        .text("subresource", SUBRESOURCE),
        bucket(Action::read("s3.object.list", "Lists objects, their versions, or unfinished uploads."))
            .optional_text("prefix", "What all listed keys begin with; without it, all are listed."),
        object(Action::read("s3.object.read", "Reads an object or what is known of it; also as the source of a copy."))
            .methods(&["GET", "POST", "PUT"])
            .read_exemption("selecting from an object is a POST, and the PUT that copies an object reads its source")
            .optional_text("subresource", SUBRESOURCE)
            .optional_text("version", "The version, where the request names one."),
        object(Action::write("s3.object.write", "Writes an object, at once or in parts.").methods(&["PUT", "POST"])),
        object(Action::delete("s3.object.delete", "Deletes an object.")).optional_text(
            "version",
            "The version that is deleted for good; without it, the object is marked as deleted.",
        ),
        bucket(
            Action::delete("s3.object.delete_many", "Deletes up to a thousand objects, which are not told apart.")
                .methods(&["POST"]),
        ),
        object(Action::delete("s3.upload.abort", "Throws away the parts of an unfinished upload.")),
        object(Action::write("s3.object.tag", "Sets or removes an object's tags.").methods(&["PUT", "POST", "DELETE"])),
        object(Action::write("s3.object.restore", "Fetches an object from the archive.").methods(&["POST"])),
    ]
}

fn calls() -> [Action; 5] {
    [
        object(
            Action::admin("s3.object.admin", "Changes who may use an object, or how long it must be kept.")
                .methods(&["PUT", "POST", "DELETE"]),
        )
        .text("subresource", SUBRESOURCE),
        call(
            Action::read("api.read", "Reads: Get, List, Describe, Head, BatchGet, Query, Scan and the like.")
                .methods(&["GET", "POST"])
                .read_exemption("both protocols carry whatever they do as POST"),
        ),
        call(
            Action::write("api.write", "Makes or changes: Put, Create, Update, Run, Send and the like.")
                .methods(EITHER),
        ),
        call(Action::delete("api.delete", "Removes: Delete, Terminate, Remove, Purge and the like.").methods(EITHER)),
        call(
            Action::admin(
                "api.admin",
                "All of IAM, STS, Organizations, KMS and Cognito; what is about policies, roles \
                 and credentials elsewhere; and verbs that nobody has looked at.",
            )
            .methods(EITHER),
        ),
    ]
}

const EITHER: &[&str] = &["GET", "POST"];

const SUBRESOURCE: &str = "Which part, by its name in the query: `acl`, `policy`, `tagging`, …";

fn bucket(action: Action) -> Action {
    action.text("bucket", "The bucket.").region()
}

fn object(action: Action) -> Action {
    action.text("bucket", "The bucket.").text("key", "The object's key, decoded: `docs/a.md`.").region()
}

fn call(action: Action) -> Action {
    action
        .text("service", "The service, as in the host's name: `dynamodb`, `api.ecr`.")
        .text("action", "The action: `GetItem`.")
        .optional_text("resource", "What is worked on, where one is named: the table, the queue, the stack.")
        .region()
}

trait Region {
    fn region(self) -> Self;
}

impl Region for Action {
    fn region(self) -> Self {
        self.optional_text("region", "The region, where the host's name has one.")
    }
}
