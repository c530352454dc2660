//! What the tests need on the machine, and how it gets there.

use std::process::Command;

use crate::process;

/// A program, how to see that it works, and the Debian package that holds it.
pub(crate) struct Tool {
    program: &'static str,
    probe: &'static [&'static str],
    package: &'static str,
    why: &'static str,
}

/// The clients that the whole-system tests send through the proxy.
pub(crate) const TEST_TOOLS: &[Tool] = &[
    Tool { program: "curl", probe: &["--version"], package: "curl", why: "the client of the flow tests" },
    Tool { program: "openssl", probe: &["version"], package: "openssl", why: "reads the certificates the proxy makes" },
    Tool {
        program: "python3",
        probe: &["--version"],
        package: "python3",
        why: "a second client, with its own TLS checks",
    },
    Tool {
        program: "node",
        probe: &["-e", "process.exit(Number(process.versions.node.split('.')[0]) < 20 ? 1 : 0)"],
        package: "nodejs",
        why: "runs the MCP conformance suite and its client; version 20 or newer",
    },
    Tool { program: "npm", probe: &["--version"], package: "npm", why: "installs them" },
    Tool { program: "git", probe: &["--version"], package: "git", why: "pushes through the proxy, and serves" },
    Tool {
        program: "python3",
        probe: &["-c", "import requests"],
        package: "python3-requests",
        why: "a client that is to work in a sandbox",
    },
    Tool {
        program: "python3",
        probe: &["-m", "pip", "--version"],
        package: "python3-pip",
        why: "installs from a registry in a sandbox",
    },
    Tool { program: "javac", probe: &["-version"], package: "default-jdk-headless", why: "Java's client in a sandbox" },
    Tool { program: "ssh", probe: &["-V"], package: "openssh-client", why: "a client of a plain TCP endpoint" },
    Tool { program: "unshare", probe: &["--version"], package: "util-linux", why: "tries to leave a sandbox" },
];

/// Looks for the tools and installs what is missing with `apt-get`, where this user may.
pub(crate) fn ensure(tools: &[Tool]) -> Result<(), String> {
    let missing: Vec<&Tool> = tools.iter().filter(|tool| !process::succeeds(tool.program, tool.probe)).collect();
    if missing.is_empty() {
        println!("xtask: tools for the tests: {}: all here", names(tools.iter()));
        return Ok(());
    }
    for tool in &missing {
        println!("xtask: {} is missing ({})", tool.program, tool.why);
    }
    let packages: Vec<&str> = missing.iter().map(|tool| tool.package).collect();
    let by_hand = format!("install {} and run this again", packages.join(", "));
    if !process::succeeds("apt-get", &["--version"]) {
        return Err(format!("there is no apt-get here: {by_hand}"));
    }
    let Some(prefix) = privilege() else {
        return Err(format!("installing packages needs root: {by_hand}"));
    };
    apt(prefix, &["update"])?;
    apt(prefix, &[["install", "--yes", "--no-install-recommends"].as_slice(), &packages].concat())?;
    match missing.iter().find(|tool| !process::succeeds(tool.program, tool.probe)) {
        Some(tool) => Err(format!("{} was installed but does not run: {by_hand}", tool.program)),
        None => Ok(()),
    }
}

/// What goes before `apt-get`: nothing for root, `sudo` where it asks for no password, or no way at all.
pub(crate) fn privilege() -> Option<&'static [&'static str]> {
    let id = Command::new("id").arg("-u").output().ok()?;
    if id.stdout.trim_ascii() == b"0" {
        Some(&[])
    } else if process::succeeds("sudo", &["-n", "true"]) {
        Some(&["sudo", "-n"])
    } else {
        None
    }
}

pub(crate) fn apt(prefix: &[&str], args: &[&str]) -> Result<(), String> {
    let words: Vec<&str> = prefix.iter().copied().chain(["apt-get"]).chain(args.iter().copied()).collect();
    let Some((program, rest)) = words.split_first() else { return Ok(()) };
    let mut command = Command::new(program);
    command.args(rest).env("DEBIAN_FRONTEND", "noninteractive");
    process::run(command)
}

fn names<'a>(tools: impl Iterator<Item = &'a Tool>) -> String {
    tools.map(|tool| tool.program).collect::<Vec<_>>().join(", ")
}
