//! A file per class of bypass: refused, or decided in canonical form; what is forwarded is what was decided.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod authority;
mod framing;
mod method;
mod path;

use narrowgate_tests::system::System;

/// One directory may be read, and one method written in it.
const POLICY: &str = "
version: 1
network_policies:
  public:
    endpoints:
      - host: api.example.com
        port: 443
        protocol: rest
        rules:
          - allow: { method: GET, path: /public/** }
          - allow: { method: GET, path: /search, query: { scope: mine } }
        deny_rules:
          - { method: '*', path: /public/private/** }
";

async fn system() -> System {
    System::start(POLICY, "permit (principal, action, resource);").await
}
