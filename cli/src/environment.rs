//! What an agent's environment needs: where the way out is, and whom to trust there. Programs disagree on the names,
//! hence so many.

use std::path::Path;

/// Files that say whom to trust, as a program in the sandbox finds them.
pub(crate) struct Trust {
    /// The sandbox's authority alone, PEM.
    pub(crate) authority: String,
    /// The same with the system's roots, PEM.
    pub(crate) bundle: String,
    /// The same for Java, JKS.
    pub(crate) java: String,
}

impl Trust {
    /// The files that a proxy writes in its directory.
    pub(crate) fn within(dir: &Path) -> Trust {
        let file = |name: &str| dir.join(name).display().to_string();
        Trust { authority: file("ca.pem"), bundle: file("ca-bundle.pem"), java: file("ca-bundle.jks") }
    }
}

/// The variables for an agent whose proxy is `http://HOST:PORT`.
pub(crate) fn agent(host: &str, port: u16, trust: &Trust) -> Vec<(&'static str, String)> {
    let proxy = format!("http://{host}:{port}");
    let mut env = Vec::new();
    for name in ["HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "https_proxy", "http_proxy", "all_proxy"] {
        env.push((name, proxy.clone()));
    }
    // An inherited exception would lead past the proxy.
    env.extend([("NO_PROXY", String::new()), ("no_proxy", String::new())]);
    // OpenSSL, Go and Rust read the first; the others are each read by one program that does not.
    for name in [
        "SSL_CERT_FILE",
        "CURL_CA_BUNDLE",
        "REQUESTS_CA_BUNDLE",
        "PIP_CERT",
        "GIT_SSL_CAINFO",
        "AWS_CA_BUNDLE",
        "CARGO_HTTP_CAINFO",
    ] {
        env.push((name, trust.bundle.clone()));
    }
    // These add to the program's own roots instead of replacing them.
    env.extend([("NODE_EXTRA_CA_CERTS", trust.authority.clone()), ("DENO_CERT", trust.authority.clone())]);
    env.push(("NODE_USE_ENV_PROXY", "1".to_owned()));
    env.extend(java(host, port, &trust.java).map(|options| ("JAVA_TOOL_OPTIONS", options)));
    env
}

/// Java reads neither PEM nor the proxy variables. `None` where the path cannot be said: options are split at spaces.
fn java(host: &str, port: u16, store: &str) -> Option<String> {
    if store.contains(char::is_whitespace) {
        return None;
    }
    let mut options = vec![
        format!("-Djavax.net.ssl.trustStore={store}"),
        "-Djavax.net.ssl.trustStoreType=JKS".to_owned(),
        // Else it keeps localhost from the proxy, and with it what policy.local would say.
        "-Dhttp.nonProxyHosts=".to_owned(),
    ];
    for scheme in ["http", "https"] {
        options.push(format!("-D{scheme}.proxyHost={host}"));
        options.push(format!("-D{scheme}.proxyPort={port}"));
    }
    Some(options.join(" "))
}

/// `export NAME='value'` lines that any POSIX shell reads back.
pub(crate) fn exports(env: &[(&str, String)]) -> String {
    env.iter().map(|(name, value)| format!("export {name}={}\n", quoted(value))).collect()
}

fn quoted(value: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/:._-".contains(c);
    if !value.is_empty() && value.chars().all(plain) {
        return value.to_owned();
    }
    format!("'{}'", value.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exports_survive_the_shell() {
        for (value, expected) in [
            ("http://127.0.0.1:3128", "http://127.0.0.1:3128"),
            ("", "''"),
            ("/home/a b/ca.pem", "'/home/a b/ca.pem'"),
            ("it's $HOME", r"'it'\''s $HOME'"),
        ] {
            assert_eq!(exports(&[("X", value.to_owned())]), format!("export X={expected}\n"));
        }
    }

    #[test]
    fn java_is_told_only_what_it_reads_as_it_was_meant() {
        let names =
            |dir: &str| agent("127.0.0.1", 3128, &Trust::within(Path::new(dir))).into_iter().map(|(name, _)| name);
        assert!(names("/etc/narrowgate").any(|name| name == "JAVA_TOOL_OPTIONS"));
        assert!(!names("/home/a b").any(|name| name == "JAVA_TOOL_OPTIONS"));
    }
}
