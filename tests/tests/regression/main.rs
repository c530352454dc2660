//! Bugs that were fixed, each under its story's name.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use narrowgate_core::policy::{Policy, Role};
use narrowgate_core::request::{PathOptions, Target};
use narrowgate_tests::oracles;

/// `%25` was checked for what follows it in the client's bytes, where the digits could be percent-encoded themselves:
/// the canonical form then was a double encoding that some server decodes to `..`.
#[test]
fn a_double_encoding_in_pieces_is_a_double_encoding() {
    for raw in ["/%25%32%65%25%32%65/x", "/a%25%32f", "/%2525/x"] {
        assert!(Target::parse(raw, &PathOptions::default()).is_err(), "{raw}");
        oracles::canonical(raw);
    }
}

/// A YAML reader takes a carriage return alone for a line break, so that lines of errors are counted as it does.
#[test]
fn an_error_after_a_carriage_return_has_a_line() {
    let text = "version: 1\nnetwork_policies:\r  a:\n    binaries: [{ pat: x }]\n    e!ndpoin allow: { method: get, path:ion: 1\n";
    oracles::policy_text(text);
    assert!(Policy::parse(text, "p.yaml", Role::Policy).is_err());
}

/// A glob over query values could hold a control character through an escape. It was written back raw, and the policy
/// that had been approved with it could not be read again.
#[test]
fn a_glob_that_cannot_be_written_back_is_refused() {
    for value in ["\\x7f*", "a\\u0085b", "\\0", "line\\nbreak"] {
        let text = format!(
            "version: 1
network_policies:
  a:
    endpoints:
      - {{ host: a.example.com, port: 443, protocol: rest, rules: [{{ allow: {{ method: GET, path: /, query: {{ k: \"{value}\" }} }} }}] }}
"
        );
        assert!(Policy::parse(&text, "p.yaml", Role::Policy).is_err(), "{value}");
        oracles::policy_text(&text);
    }
}
