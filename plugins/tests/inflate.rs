//! Encoded bodies are read whole, within limits, in one way, or not at all.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::io::Write;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use narrowgate_plugins::{Body, inflate};

const LIMIT: usize = 1000;

fn gzip(clear: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(clear).unwrap();
    encoder.finish().unwrap()
}

fn zlib(clear: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(clear).unwrap();
    encoder.finish().unwrap()
}

#[track_caller]
fn check(encodings: &[&str], encoded: &[u8], expect: Result<Body, &str>) {
    check_body(encodings, Body::Complete(Bytes::copy_from_slice(encoded)), expect);
}

#[track_caller]
fn check_body(encodings: &[&str], encoded: Body, expect: Result<Body, &str>) {
    let got = inflate(encodings, encoded, LIMIT).map_err(|error| error.to_string());
    match (&got, expect) {
        (Err(got), Err(expect)) => assert!(got.contains(expect), "{got:?} lacks {expect:?}"),
        (got, expect) => assert_eq!(got, &expect.map_err(str::to_owned)),
    }
}

#[test]
fn what_is_read() {
    let complete = |clear: &[u8]| Ok(Body::Complete(Bytes::copy_from_slice(clear)));
    let truncated = |clear: &[u8]| Ok(Body::Truncated(Bytes::copy_from_slice(clear)));
    let long = vec![b'x'; LIMIT + 1];
    check(&[], b"plain", complete(b"plain"));
    check(&["identity"], &long, truncated(&long[..LIMIT]));
    check(&["gzip"], &gzip(b"hello"), complete(b"hello"));
    check(&["X-GZip"], &gzip(b"hello"), complete(b"hello"));
    check(&["deflate"], &zlib(b"hello"), complete(b"hello"));
    check(&["gzip"], &gzip(b""), complete(b""));
    check(&["gzip"], &gzip(&long[..LIMIT]), complete(&long[..LIMIT]));
    check(&["gzip"], &gzip(&long), truncated(&long[..LIMIT]));
    check(&["deflate"], &zlib(&long), truncated(&long[..LIMIT]));
    // A bomb: 100 MiB from 100 KiB.
    check(&["gzip"], &gzip(&vec![b'x'; 100 << 20]), truncated(&long[..LIMIT]));
}

#[test]
fn of_a_part_a_part_is_read() {
    let part = |bytes: &[u8]| Body::Truncated(Bytes::copy_from_slice(bytes));
    let hello = gzip(b"hello world");
    let got = inflate(&["gzip"], part(&hello[..hello.len() - 8]), LIMIT).unwrap();
    assert!(matches!(&got, Body::Truncated(bytes) if b"hello world".starts_with(bytes)), "{got:?}");
    check_body(&["gzip"], part(&hello), Ok(part(b"hello world")));
    check_body(&[], part(b"abc"), Ok(part(b"abc")));
    check_body(&["gzip"], part(b"plain, and no gzip"), Err("the body is not gzip"));
    check_body(&["gzip"], part(&[hello, b"x".to_vec()].concat()), Err("something follows its end"));
    check_body(&["gzip"], Body::Absent, Ok(Body::Absent));
}

#[test]
fn what_is_not() {
    let raw = {
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(b"hello").unwrap();
        encoder.finish().unwrap()
    };
    let two = [gzip(b"a"), gzip(b"b")].concat();
    let behind = [gzip(b"a"), b"x".to_vec()].concat();
    let cut = gzip(b"hello world");
    check(&["br"], b"x", Err("the content-encoding \"br\" is not read"));
    check(&["gzip, gzip"], &gzip(&gzip(b"a")), Err("the content-encoding \"gzip, gzip\" is not read"));
    check(&["gzip", "identity"], &gzip(b"a"), Err("is not read"));
    check(&[""], b"x", Err("the content-encoding \"\" is not read"));
    check(&["gzip"], b"plain", Err("the body is not gzip"));
    check(&["gzip"], &two, Err("something follows its end"));
    check(&["gzip"], &behind, Err("something follows its end"));
    check(&["gzip"], &cut[..cut.len() - 3], Err("the body is not gzip"));
    check(&["deflate"], &raw, Err("the body is not deflate"));
    check(&["deflate"], &[zlib(b"a"), vec![0]].concat(), Err("something follows its end"));
}
