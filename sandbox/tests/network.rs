//! Whatever a command sends arrives at a listener of its supervisor, or nowhere.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod common;

use common::check;

/// Connects, and says what the door said.
fn connect(address: &str) -> String {
    let (host, port) = address.rsplit_once(':').unwrap();
    let host = host.trim_matches(['[', ']']);
    perl(&format!(
        "use IO::Socket::IP; my $s = IO::Socket::IP->new(PeerHost => '{host}', PeerPort => {port}, Type => SOCK_STREAM, \
         GetAddrInfoFlags => 4); if ($s) {{ print <$s> }} else {{ print $@ }}"
    ))
}

/// Sends a datagram, and says what came back within a second.
fn datagram(address: &str) -> String {
    let (host, port) = address.rsplit_once(':').unwrap();
    let host = host.trim_matches(['[', ']']);
    perl(&format!(
        "use IO::Socket::IP; my $s = IO::Socket::IP->new(PeerHost => '{host}', PeerPort => {port}, Type => SOCK_DGRAM, \
         GetAddrInfoFlags => 4) or do {{ print $@; exit }}; $SIG{{ALRM}} = sub {{ print 'silence'; exit }}; alarm 1; \
         if ($s->send('q')) {{ if (defined $s->recv(my $b, 99)) {{ print $b }} else {{ print 'refused' }} }} \
         else {{ print 'refused' }}"
    ))
}

fn perl(script: &str) -> String {
    format!("perl -e {}", quoted(script))
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[test]
fn every_connection_arrives_at_a_door() {
    let cases = [
        ("127.0.0.1:3128", "proxy 127.0.0.1:3128"),
        ("0.0.0.0:3128", "proxy 127.0.0.1:3128"),
        ("8.8.8.8:443", "captured 8.8.8.8:443"),
        ("8.8.8.8:3128", "captured 8.8.8.8:3128"),
        ("198.18.0.1:80", "captured 198.18.0.1:80"),
        ("169.254.169.254:80", "captured 169.254.169.254:80"),
        ("10.0.0.1:22", "captured 10.0.0.1:22"),
        ("[2001:db8::1]:443", "captured [2001:db8::1]:443"),
        ("[fd00::1]:5432", "captured [fd00::1]:5432"),
        ("[::ffff:9.9.9.9]:443", "captured 9.9.9.9:443"),
        ("8.8.8.8:53", "resolver-tcp mapped"),
        ("127.0.0.53:53", "resolver-tcp mapped"),
        ("[2001:db8::1]:53", "resolver-tcp [2001:db8::1]:53"),
        ("127.0.0.1:22", "Connection refused"),
        ("127.0.0.2:443", "Connection refused"),
        ("[::1]:443", "Connection refused"),
    ];
    for (address, expect) in cases {
        check(&[], &connect(address), expect);
    }
}

#[test]
fn datagrams_are_questions_to_the_resolver_or_refused() {
    let cases = [
        ("8.8.8.8:53", "resolver-udp"),
        ("127.0.0.1:53", "resolver-udp"),
        ("127.0.0.53:53", "resolver-udp"),
        ("[2001:db8::1]:53", "resolver-udp"),
        ("8.8.8.8:443", "refused"),
        ("8.8.8.8:123", "refused"),
        ("169.254.169.254:80", "refused"),
        ("[2001:db8::1]:443", "refused"),
        ("127.0.0.1:443", "refused"),
    ];
    for (address, expect) in cases {
        check(&[], &datagram(address), expect);
    }
}

#[test]
fn there_is_only_the_loopback_interface() {
    check(&[], "tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d ' '", "lo");
}

#[test]
fn what_is_served_inside_is_reached_inside() {
    // Two processes of the command: one listens on every address, one connects.
    let script = "use IO::Socket::INET; my $l = IO::Socket::INET->new(Listen => 1, LocalPort => 8080) or die; \
                  if (!fork) { my $s = IO::Socket::INET->new('127.0.0.1:8080') or die; print <$s>; exit } \
                  my $c = $l->accept; print $c qq(inside\\n); close $c; wait";
    check(&[], &perl(script), "inside");
}

#[test]
fn a_name_of_the_machine_is_not_served_outside() {
    // The machine's own services are on the machine's loopback interface, not on this one.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    check(&[], &connect(&listener.local_addr().unwrap().to_string()), "Connection refused");
}

#[test]
fn abstract_sockets_of_the_machine_are_not_there() {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixListener};
    let name = format!("narrowgate-test-{}", std::process::id());
    let _listener = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
    let script = format!(
        "use Socket; socket(my $s, AF_UNIX, SOCK_STREAM, 0) or die; \
         print connect($s, pack('Sa*', AF_UNIX, qq(\\0{name}))) ? 'connected' : $!"
    );
    check(&[], &perl(&script), "Connection refused");
}

#[test]
fn the_namespaces_table_is_read_from_outside() {
    for user in common::users() {
        let script = format!("{}; sleep 0.5", connect("8.8.8.8:443"));
        let mut command = common::probe(user, &["--network"]);
        let mut child = command.args(["sh", "-c", &script]).stdout(std::process::Stdio::piped()).spawn().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(300));
        let mut said = String::new();
        use std::io::{BufRead, BufReader};
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut said).unwrap();
        let pid = said.split_whitespace().nth(1).unwrap().to_owned();
        let table = std::fs::read_to_string(format!("/proc/{pid}/net/tcp")).unwrap();
        // 127.0.0.1:3128, listening.
        assert!(table.contains("0100007F:0C38 00000000:0000 0A"), "{user:?}: {table}");
        assert!(child.wait().unwrap().success());
    }
}
