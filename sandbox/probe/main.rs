//! A supervisor for tests, which can be killed: runs a command in a sandbox and answers at every door with the door's
//! name and the address that the client wanted.
//!
//! `sandbox-probe [--place PATH=CONTENT] [--hide PATH] [--read PATH] [--write PATH] [--workdir] [--env NAME=VALUE]
//! [--without NAME] [--kill-after MS] [--signal-after MS:SIGNAL] [--lacks] [--network] -- COMMAND...`

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's program may fail by panicking")]

use std::ffi::OsString;
use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use narrowgate_sandbox::{Doors, Entry, Filesystem, Namespace, PlacedFile, SandboxError, Spec};

fn main() -> ExitCode {
    if let Some(code) = narrowgate_sandbox::stage_main(std::env::args_os()) {
        return code;
    }
    match run(Options::parse(std::env::args().skip(1))) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(error.exit_code())
        }
    }
}

#[derive(Default)]
struct Options {
    spec: Spec,
    kill_after: Option<Duration>,
    signal_after: Option<(Duration, i32)>,
    lacks: bool,
    network: bool,
}

impl Options {
    fn parse(mut arguments: impl Iterator<Item = String>) -> Self {
        let mut options = Self::default();
        let pair = |text: String, at| -> (String, String) {
            let (left, right) = text.split_once(at).unwrap();
            (left.to_owned(), right.to_owned())
        };
        let milliseconds = |text: &str| Duration::from_millis(text.parse().unwrap());
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().unwrap();
            let filesystem = &mut options.spec.filesystem;
            match argument.as_str() {
                "--place" => {
                    let (path, content) = pair(value(), '=');
                    options.spec.files.push(PlacedFile { path: path.into(), content: content.into() });
                }
                "--hide" => options.spec.hidden.push(value().into()),
                "--read" => filesystem.get_or_insert_default().read_only.push(value().into()),
                "--write" => filesystem.get_or_insert_default().read_write.push(value().into()),
                "--workdir" => filesystem.get_or_insert_default().include_workdir = true,
                "--env" => {
                    let (name, value) = pair(value(), '=');
                    options.spec.environment.push((name.into(), value.into()));
                }
                "--without" => options.spec.without.push(value().into()),
                "--kill-after" => options.kill_after = Some(milliseconds(&value())),
                "--signal-after" => {
                    let (after, signal) = pair(value(), ':');
                    options.signal_after = Some((milliseconds(&after), signal.parse().unwrap()));
                }
                "--lacks" => options.lacks = true,
                "--network" => options.network = true,
                "--" => break,
                other => panic!("{other}"),
            }
        }
        let _: &Option<Filesystem> = &options.spec.filesystem;
        options.spec.command = arguments.map(OsString::from).collect();
        options
    }
}

fn run(options: Options) -> Result<u8, SandboxError> {
    let (namespace, doors) = Namespace::create(&Entry::default())?;
    if options.network {
        println!("network {}", namespace.network().pid());
    }
    answer(doors);
    let mut running = namespace.launch(options.spec)?;
    if options.lacks {
        running.lacks().iter().for_each(|lack| eprintln!("lacks: {lack}"));
    }
    let handle = running.handle();
    if let Some(after) = options.kill_after {
        let handle = handle.clone();
        thread::spawn(move || {
            thread::sleep(after);
            handle.kill().unwrap();
        });
    }
    if let Some((after, signal)) = options.signal_after {
        thread::spawn(move || {
            thread::sleep(after);
            handle.signal(signal).unwrap();
        });
    }
    Ok(running.wait().unwrap().exit_code())
}

/// Answers at every door, for as long as this process is there.
fn answer(doors: Doors) {
    let accept = |name: &'static str, listener: TcpListener| {
        thread::spawn(move || {
            for connection in listener.incoming() {
                let connection = connection.unwrap();
                let _ = reply(name, &connection);
            }
        });
    };
    accept("proxy", doors.proxy);
    accept("resolver-tcp", doors.resolver.1);
    doors.captured.into_iter().for_each(|listener| accept("captured", listener));
    thread::spawn(move || datagrams(&doors.resolver.0));
}

fn reply(name: &str, mut connection: &TcpStream) -> io::Result<()> {
    let wanted = match connection.local_addr()? {
        SocketAddr::V4(_) => rustix::net::sockopt::ip_original_dst(connection)?.to_string(),
        SocketAddr::V6(address) if address.ip().to_ipv4_mapped().is_some() => "mapped".to_owned(),
        SocketAddr::V6(_) => rustix::net::sockopt::ipv6_original_dst(connection)?.to_string(),
    };
    writeln!(connection, "{name} {wanted}")
}

fn datagrams(socket: &UdpSocket) {
    let mut buffer = [0; 512];
    loop {
        let (_, from) = socket.recv_from(&mut buffer).unwrap();
        socket.send_to(b"resolver-udp", from).unwrap();
    }
}
