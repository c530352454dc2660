//! What an escape would reach: sockets outside any sandbox that notice whoever gets to them.

use std::io::Read;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr as UnixAddr, UnixListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

/// Sockets of each kind on this machine. Their threads end with the test's process.
pub struct Canary {
    tcp: SocketAddr,
    tcp6: Option<SocketAddr>,
    udp: SocketAddr,
    name: String,
    path: PathBuf,
    touched: Arc<AtomicUsize>,
}

impl Canary {
    /// Starts them; the one with a path is in `dir`.
    pub fn start(dir: &Path) -> Canary {
        let touched = Arc::new(AtomicUsize::new(0));
        let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let tcp6 = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).ok();
        let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let name = format!("narrowgate-canary-{}-{}", std::process::id(), tcp.local_addr().expect("bound").port());
        let named = UnixListener::bind_addr(&UnixAddr::from_abstract_name(&name).expect("a name")).expect("a socket");
        let path = dir.join("canary.sock");
        // Bound under another name, as OpenSSH does: the kernel's table goes on saying that one.
        let bound = dir.join("canary.sock.new");
        let at_path = UnixListener::bind(&bound).expect("a socket");
        std::fs::rename(&bound, &path).expect("a file");
        let canary = Canary {
            tcp: tcp.local_addr().expect("bound"),
            tcp6: tcp6.as_ref().map(|listener| listener.local_addr().expect("bound")),
            udp: udp.local_addr().expect("bound"),
            name,
            path,
            touched: Arc::clone(&touched),
        };
        for listener in [Some(tcp), tcp6].into_iter().flatten() {
            let touched = Arc::clone(&touched);
            thread::spawn(move || count(listener.incoming(), &touched));
        }
        for listener in [named, at_path] {
            let touched = Arc::clone(&touched);
            thread::spawn(move || count(listener.incoming(), &touched));
        }
        thread::spawn(move || {
            while udp.recv(&mut [0; 2048]).is_ok() {
                touched.fetch_add(1, Ordering::SeqCst);
            }
        });
        canary
    }

    /// Its TCP port on 127.0.0.1.
    pub fn tcp(&self) -> u16 {
        self.tcp.port()
    }

    /// Its TCP port on ::1, where this machine has that.
    pub fn tcp6(&self) -> Option<u16> {
        self.tcp6.map(|addr| addr.port())
    }

    /// Its UDP port on 127.0.0.1.
    pub fn udp(&self) -> u16 {
        self.udp.port()
    }

    /// Its abstract Unix socket's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its Unix socket's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How often it was reached since the last call. Waits a moment for what is on its way.
    pub fn reached(&self) -> usize {
        thread::sleep(Duration::from_millis(50));
        self.touched.swap(0, Ordering::SeqCst)
    }
}

fn count<T>(connections: impl Iterator<Item = std::io::Result<T>>, touched: &AtomicUsize) {
    for _ in connections.flatten() {
        touched.fetch_add(1, Ordering::SeqCst);
    }
}

/// A connection to a listener of its own, and what comes out at the listener's end: for a file that is handed down.
pub struct Leak {
    listener: TcpListener,
}

impl Leak {
    /// Listens on 127.0.0.1.
    pub fn listen() -> Leak {
        Leak { listener: TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port") }
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.listener.local_addr().expect("bound").port()
    }

    /// Everything that the one who connected sent, once it has closed.
    pub fn received(&self) -> String {
        let (mut stream, _) = self.listener.accept().expect("a connection");
        stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a socket");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("it closes");
        text
    }
}
