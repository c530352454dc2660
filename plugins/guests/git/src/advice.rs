//! What to ask for instead, and what it would look like.

use narrowgate_plugin::{Operation, Request, Suggestion, sample};

/// An empty pack: its header, no object, and the checksum of that.
const EMPTY_PACK: &[u8] =
    b"PACK\0\0\0\x02\0\0\0\0\x02\x9d\x08\x82\x3b\xd8\xa8\xea\xb5\x10\xad\x6a\xc7\x5c\x82\x3c\xfd\x3e\xd3\x1e";
const ZERO: &str = "0000000000000000000000000000000000000000";
const SAMPLE_ID: &str = "1111111111111111111111111111111111111111";

/// The ref, without the ids that the next attempt will have anew; and the refs below the same folder.
pub(crate) fn suggest(denied: &[Operation]) -> Vec<Suggestion> {
    let mut suggestions = Vec::new();
    for operation in denied {
        let mut any_time = operation.clone();
        for passing in ["old", "new", "atomic", "push_options"] {
            any_time = any_time.without(passing);
        }
        let folder = any_time.text_of("ref").and_then(folder).map(str::to_owned);
        suggestions.push(Suggestion::new(any_time.clone(), "Exactly what was denied, whatever the commits."));
        if let Some(folder) = folder {
            let below = any_time.replaced("ref", format!("{folder}/**"));
            suggestions.push(Suggestion::new(below, "The same for every ref in this folder."));
        }
    }
    suggestions
}

/// `refs/heads/bot` of `refs/heads/bot/x`; none of `refs/heads/x`, whose neighbours are every branch.
fn folder(name: &str) -> Option<&str> {
    let (folder, _) = name.rsplit_once('/')?;
    (folder.matches('/').count() >= 2).then_some(folder)
}

/// The request that git would send, but for its pack.
pub(crate) fn example(operation: &Operation) -> Option<Request> {
    let repository = operation.text_of("repository").map_or_else(|| "acme/site".to_owned(), sample);
    let at = |method: &str, service: &str| {
        Request::https(method, "git.example").segments_of(&format!("{repository}.git")).segments_of(service)
    };
    let advertise = |service: &str| at("GET", "info/refs").query("service", service);
    let request = match operation.action.as_str() {
        "fetch" => advertise("git-upload-pack"),
        "push.advertise" => advertise("git-receive-pack"),
        "ref.create" | "ref.update" | "ref.delete" => at("POST", "git-receive-pack")
            .header("content-type", "application/x-git-receive-pack-request")
            .body(push(operation)),
        "lfs.download" => {
            at("POST", "info/lfs/objects/batch").header("content-type", LFS).body(batch("download", operation))
        }
        "lfs.upload" => {
            at("POST", "info/lfs/objects/batch").header("content-type", LFS).body(batch("upload", operation))
        }
        _ => return None,
    };
    Some(request)
}

const LFS: &str = "application/vnd.git-lfs+json";

fn push(operation: &Operation) -> Vec<u8> {
    let id = |name| operation.text_of(name).map_or_else(|| SAMPLE_ID.to_owned(), sample);
    let (old, new) = match operation.action.as_str() {
        "ref.create" => (None, Some(id("new"))),
        "ref.delete" => (Some(id("old")), None),
        _ => (Some(id("old")), Some(id("new"))),
    };
    let digits = old.iter().chain(&new).map(String::len).max().unwrap_or(ZERO.len());
    let zero = || "0".repeat(digits);
    let name = operation.text_of("ref").map_or_else(|| "refs/heads/example".to_owned(), sample);
    let options = operation.texts_of("push_options").unwrap_or_default();
    let deletes = new.is_none();
    let mut command = format!("{} {} {name}\0 report-status", old.unwrap_or_else(zero), new.unwrap_or_else(zero));
    if operation.flag_of("atomic") == Some(true) {
        command.push_str(" atomic");
    }
    if !options.is_empty() {
        command.push_str(" push-options");
    }
    let mut body = Vec::new();
    packet(&mut body, &command);
    body.extend(b"0000");
    if !options.is_empty() {
        options.iter().for_each(|option| packet(&mut body, option));
        body.extend(b"0000");
    }
    if !deletes {
        body.extend(EMPTY_PACK);
    }
    body
}

fn packet(body: &mut Vec<u8>, line: &str) {
    body.extend(format!("{:04x}{line}", line.len() + 4).bytes());
}

fn batch(what: &str, operation: &Operation) -> String {
    let named = operation.text_of("ref").map(sample);
    let named = named.map(|name| format!(r#","ref":{{"name":"{name}"}}"#)).unwrap_or_default();
    let object = format!(r#"{{"oid":"{}","size":1}}"#, "1".repeat(64));
    format!(r#"{{"operation":"{what}","transfers":["basic"]{named},"objects":[{object}]}}"#)
}
