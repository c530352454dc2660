//! What the command finds inside: files and variables that lead it to the proxy, and nothing that leads elsewhere.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use narrowgate_core::policy;
use narrowgate_proxy::{POLICY_LOCAL_ADDRESS, SKILL};
use narrowgate_sandbox::{Filesystem, PlacedFile, Spec};

use crate::environment::{self, Trust};
use crate::exit::Failure;

/// Where the files are inside.
const INSIDE: &str = "/etc/narrowgate";
/// Where distributions keep the system's roots in one file. What exists of them is covered by the bundle, for programs
/// that read no variable.
const SYSTEM_BUNDLES: [&str; 5] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];
/// Variables that would lead the command, or a program in it, to what only the reviewer may use, or to services outside
/// that it cannot reach.
const WITHOUT: [&str; 7] = [
    "NARROWGATE_GATEWAY",
    "NARROWGATE_TOKEN_FILE",
    "SSH_AUTH_SOCK",
    "DBUS_SESSION_BUS_ADDRESS",
    "DOCKER_HOST",
    "XDG_RUNTIME_DIR",
    "SSL_CERT_DIR",
];

/// What the sandbox is told of `command`.
///
/// # Errors
/// The proxy's files cannot be read.
pub(super) fn spec(
    command: Vec<OsString>,
    proxy: (&str, u16),
    files: &Path,
    hidden: Vec<PathBuf>,
    filesystem: Option<policy::Filesystem>,
) -> Result<Spec, Failure> {
    let inside = Path::new(INSIDE);
    let trust = Trust::within(inside);
    let environment = environment::agent(proxy.0, proxy.1, &trust);
    Ok(Spec {
        command,
        environment: environment.into_iter().map(|(name, value)| (name.into(), value.into())).collect(),
        without: WITHOUT.map(OsString::from).to_vec(),
        files: placed(files, inside, &trust)?,
        hidden,
        filesystem: filesystem.map(|policy::Filesystem { read_only, read_write, include_workdir }| {
            let paths = |paths: Vec<String>| paths.into_iter().map(PathBuf::from).collect();
            let mut read_only: Vec<PathBuf> = paths(read_only);
            // What the environment names, whatever the policy says of /etc.
            read_only.push(inside.to_owned());
            Filesystem { read_only, read_write: paths(read_write), include_workdir }
        }),
    })
}

fn placed(files: &Path, inside: &Path, trust: &Trust) -> Result<Vec<PlacedFile>, Failure> {
    let outside = Trust::within(files);
    let read = |path: &str| fs::read(path).map_err(|error| Failure::invalid(format!("{path}: {error}")));
    let place = |path: &str, content: Vec<u8>| PlacedFile { path: PathBuf::from(path), content };
    let bundle = read(&outside.bundle)?;
    let mut placed = vec![
        PlacedFile { path: inside.join("skills/policy_advisor.md"), content: SKILL.into() },
        place(&trust.authority, read(&outside.authority)?),
        place(&trust.java, read(&outside.java)?),
        place("/etc/resolv.conf", b"nameserver 127.0.0.1\noptions timeout:2 attempts:2\n".to_vec()),
        place("/etc/hosts", hosts().into_bytes()),
    ];
    let system = SYSTEM_BUNDLES.into_iter().filter(|path| Path::new(path).is_file());
    placed.extend(system.map(|path| place(path, bundle.clone())));
    placed.push(place(&trust.bundle, bundle));
    Ok(placed)
}

/// This machine's own names for other addresses stay outside: a name is what the resolver says it is.
fn hosts() -> String {
    let own = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let own = own.trim();
    let plain = |name: &str| !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.".contains(&b));
    let own = if plain(own) { format!("127.0.1.1 {own}\n") } else { String::new() };
    format!("127.0.0.1 localhost\n::1 localhost ip6-localhost\n{own}{POLICY_LOCAL_ADDRESS} policy.local\n")
}
