//! S3: a method, a bucket, a key, and in the query which part of either is meant.

use crate::signs;
use narrowgate_plugin::{Operation, Refusal, Request, Result, percent};

/// In the query, and decides nothing: pages, encodings, and what the answer's headers shall be.
const MODIFIERS: &[&str] = &[
    "bucket-region",
    "continuation-token",
    "delimiter",
    "encoding-type",
    "fetch-owner",
    "id",
    "key-marker",
    "list-type",
    "marker",
    "max-buckets",
    "max-keys",
    "max-parts",
    "max-uploads",
    "part-number-marker",
    "partNumber",
    "prefix",
    "response-cache-control",
    "response-content-disposition",
    "response-content-encoding",
    "response-content-language",
    "response-content-type",
    "response-expires",
    "select-type",
    "start-after",
    "upload-id-marker",
    "version-id-marker",
    "versionId",
    "x-amz-checksum-mode",
    "x-amz-sdk-checksum-algorithm",
    "x-id",
];

/// Parts of a bucket that say how it behaves, and for whom: reading one is `s3.bucket.read`, changing one
/// `s3.bucket.admin`.
const BUCKET_SETTINGS: &[&str] = &[
    "accelerate",
    "acl",
    "analytics",
    "cors",
    "encryption",
    "intelligent-tiering",
    "inventory",
    "lifecycle",
    "location",
    "logging",
    "metrics",
    "notification",
    "object-lock",
    "ownershipControls",
    "policy",
    "policyStatus",
    "publicAccessBlock",
    "replication",
    "requestPayment",
    "tagging",
    "versioning",
    "website",
];

/// Method, part of the bucket, action.
const BUCKET: &[(&str, &str, &str)] = &[
    ("GET", "", "s3.object.list"),
    ("GET", "versions", "s3.object.list"),
    ("GET", "uploads", "s3.object.list"),
    ("POST", "delete", "s3.object.delete_many"),
    ("PUT", "", "s3.bucket.create"),
    ("DELETE", "", "s3.bucket.delete"),
];

/// Method, part of the object, action.
const OBJECT: &[(&str, &str, &str)] = &[
    ("GET", "", "s3.object.read"),
    ("GET", "acl", "s3.object.read"),
    ("GET", "attributes", "s3.object.read"),
    ("GET", "legal-hold", "s3.object.read"),
    ("GET", "retention", "s3.object.read"),
    ("GET", "tagging", "s3.object.read"),
    ("GET", "torrent", "s3.object.read"),
    ("GET", "uploadId", "s3.object.read"),
    ("POST", "select", "s3.object.read"),
    ("PUT", "", "s3.object.write"),
    ("POST", "uploads", "s3.object.write"),
    ("PUT", "uploadId", "s3.object.write"),
    ("POST", "uploadId", "s3.object.write"),
    ("DELETE", "uploadId", "s3.upload.abort"),
    ("POST", "restore", "s3.object.restore"),
    ("PUT", "tagging", "s3.object.tag"),
    ("DELETE", "tagging", "s3.object.tag"),
    ("PUT", "acl", "s3.object.admin"),
    ("PUT", "legal-hold", "s3.object.admin"),
    ("PUT", "retention", "s3.object.admin"),
    ("DELETE", "", "s3.object.delete"),
];

/// Headers with which a request also changes what has a request of its own: header, part.
pub(crate) const SIDE_EFFECTS: &[(&str, &str)] = &[
    ("x-amz-acl", "acl"),
    ("x-amz-grant-full-control", "acl"),
    ("x-amz-grant-read", "acl"),
    ("x-amz-grant-read-acp", "acl"),
    ("x-amz-grant-write", "acl"),
    ("x-amz-grant-write-acp", "acl"),
    ("x-amz-object-lock-mode", "retention"),
    ("x-amz-object-lock-retain-until-date", "retention"),
    ("x-amz-bypass-governance-retention", "retention"),
    ("x-amz-object-lock-legal-hold", "legal-hold"),
    ("x-amz-bucket-object-lock-enabled", "object-lock"),
    ("x-amz-object-ownership", "ownershipControls"),
    ("x-amz-tagging", "tagging"),
];

pub(crate) const COPY_SOURCE: &str = "x-amz-copy-source";

pub(crate) fn classify(request: &Request, host_bucket: Option<&str>, region: Option<&str>) -> Result<Vec<Operation>> {
    if request.path.contains('+') {
        return Err(Refusal::ambiguous("a `+` in an S3 path is read as itself or as a space; write `%2B` or `%20`"));
    }
    let (bucket, key) = match (host_bucket, request.segments.split_first()) {
        (Some(bucket), _) => (bucket, request.segments.join("/")),
        (None, Some((bucket, key))) => (bucket.as_str(), key.join("/")),
        (None, None) => ("", String::new()),
    };
    if bucket.is_empty() {
        return list_buckets(request, region);
    }
    if !is_bucket(bucket) {
        return Err(Refusal::not_understood(format!("{bucket:?} is not a bucket's name")));
    }
    let part = part(request)?;
    let mut operations = if key.is_empty() {
        vec![bucket_operation(request, bucket, region, part)?]
    } else {
        object_operations(request, bucket, region, key, part)?
    };
    add_side_effects(request, &mut operations)?;
    Ok(operations)
}

fn list_buckets(request: &Request, region: Option<&str>) -> Result<Vec<Operation>> {
    match (request.method.as_str(), part(request)?) {
        ("GET" | "HEAD", "") => Ok(vec![Operation::new("s3.buckets.list").optional_text("region", region)]),
        _ => Err(unknown(request, "")),
    }
}

fn bucket_operation(request: &Request, bucket: &str, region: Option<&str>, part: &str) -> Result<Operation> {
    let on = |action| Operation::new(action).text("bucket", bucket).optional_text("region", region);
    if BUCKET_SETTINGS.contains(&part) {
        return match request.method.as_str() {
            "GET" | "HEAD" => Ok(on("s3.bucket.read").text("subresource", part)),
            "PUT" | "DELETE" => Ok(on("s3.bucket.admin").text("subresource", part)),
            _ => Err(unknown(request, part)),
        };
    }
    if (request.method.as_str(), part) == ("HEAD", "") {
        return Ok(on("s3.bucket.read"));
    }
    let operation = on(row(BUCKET, request, part)?);
    match operation.action.as_str() {
        "s3.object.list" => Ok(operation.optional_text("prefix", request.query_one("prefix")?)),
        _ => Ok(operation),
    }
}

fn object_operations(
    request: &Request,
    bucket: &str,
    region: Option<&str>,
    key: String,
    part: &str,
) -> Result<Vec<Operation>> {
    let action = row(OBJECT, request, part)?;
    let mut operation = object(action, bucket, &key)?.optional_text("region", region);
    if ["s3.object.read", "s3.object.admin"].contains(&action) && !["", "uploadId"].contains(&part) {
        operation = operation.text("subresource", part);
    }
    if ["s3.object.read", "s3.object.delete"].contains(&action) {
        operation = operation.optional_text("version", request.query_one("versionId")?);
    }
    let mut operations = vec![operation];
    if let Some(source) = request.header_one(COPY_SOURCE)? {
        if action != "s3.object.write" {
            return Err(Refusal::malformed(format!("{COPY_SOURCE} belongs to requests that write an object")));
        }
        operations.push(copied(source)?);
    }
    Ok(operations)
}

fn object(action: &str, bucket: &str, key: &str) -> Result<Operation> {
    if key.split('/').any(|part| matches!(part, "." | "..")) {
        return Err(Refusal::ambiguous(format!(
            "the key {key:?} has a `.` or `..` part, which is resolved on the way or not"
        )));
    }
    Ok(Operation::new(action).text("bucket", bucket).text("key", key))
}

/// The object that is copied is read: `bucket/key`, encoded once more, with or without a slash before it and a version
/// after it.
fn copied(source: &str) -> Result<Operation> {
    let malformed = || Refusal::malformed(format!("{COPY_SOURCE} is not /bucket/key, percent-encoded"));
    if source.contains('+') {
        return Err(Refusal::ambiguous(format!(
            "a `+` in {COPY_SOURCE} is read as itself or as a space; write `%2B` or `%20`"
        )));
    }
    let (name, version) = match source.split_once('?') {
        Some((name, query)) => (name, Some(query.strip_prefix("versionId=").ok_or_else(malformed)?)),
        None => (source, None),
    };
    if version.is_some_and(|version| version.contains(['&', '?', '%'])) {
        return Err(malformed());
    }
    let name = percent::decode(name.as_bytes(), false).ok_or_else(malformed)?;
    if name.contains('?') {
        return Err(Refusal::ambiguous(format!(
            "an encoded `?` in {COPY_SOURCE} begins a version or belongs to the key"
        )));
    }
    let (bucket, key) = name.strip_prefix('/').unwrap_or(&name).split_once('/').ok_or_else(malformed)?;
    if !is_bucket(bucket) || key.is_empty() {
        return Err(malformed());
    }
    // Which region the source is in is not said.
    Ok(object("s3.object.read", bucket, key)?.optional_text("version", version))
}

fn add_side_effects(request: &Request, operations: &mut Vec<Operation>) -> Result<()> {
    let Some(asked) = operations.first().cloned() else { return Ok(()) };
    for (header, part) in SIDE_EFFECTS {
        if !request.headers.iter().any(|(name, _)| name == header) || !has_effect(&asked, header) {
            continue;
        }
        let action = match (asked.value("key").is_some(), *part) {
            (true, "tagging") => "s3.object.tag",
            (true, _) => "s3.object.admin",
            (false, _) => "s3.bucket.admin",
        };
        let mut effect =
            Operation { action: action.to_owned(), ..asked.clone() }.without("version").without("subresource");
        if action != "s3.object.tag" {
            effect = effect.text("subresource", *part);
        }
        if !operations.contains(&effect) {
            operations.push(effect);
        }
    }
    Ok(())
}

/// S3 looks at these headers where something is made; lifting a retention counts wherever it is.
fn has_effect(asked: &Operation, header: &str) -> bool {
    ["s3.object.write", "s3.bucket.create"].contains(&asked.action.as_str())
        || header == "x-amz-bypass-governance-retention"
}

/// The one part of a bucket or an object that the query names; empty where it names none.
fn part(request: &Request) -> Result<&str> {
    let mut part = "";
    for (key, value) in &request.query {
        if MODIFIERS.contains(&key.as_str()) || signs(key) {
            request.query_one(key)?;
        } else if !part.is_empty() {
            return Err(Refusal::ambiguous(format!("the query names {part:?} and {key:?}, of which S3 reads one")));
        } else if key.is_empty() || (!value.is_empty() && key != "uploadId") {
            return Err(Refusal::not_understood(format!("the query key {key:?} is not one that S3 documents")));
        } else {
            part = key;
        }
    }
    Ok(part)
}

fn row(table: &[(&str, &str, &'static str)], request: &Request, part: &str) -> Result<&'static str> {
    let method = if request.method == "HEAD" { "GET" } else { &request.method };
    let row = table.iter().find(|(of, named, _)| *of == method && *named == part);
    row.map(|(_, _, action)| *action).ok_or_else(|| unknown(request, part))
}

fn unknown(request: &Request, part: &str) -> Refusal {
    let part = if part.is_empty() { String::new() } else { format!("?{part}") };
    Refusal::not_understood(format!(
        "{} {}{part} is not an operation of S3 that this plugin knows",
        request.method, request.path
    ))
}

/// By S3's rules for names, and the looser ones that old buckets were made under.
pub(crate) fn is_bucket(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    (3..=255).contains(&name.len())
        && name.bytes().all(plain)
        && name.starts_with(|first: char| first.is_ascii_alphanumeric())
        && !name.contains("..")
}
