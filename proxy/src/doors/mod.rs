//! The ways in besides HTTP: SOCKS on the proxy's own port and, inside a sandbox's network namespace, connections that
//! never heard of a proxy and the resolver that their names are asked of.
//!
//! Inside a namespace every name that a policy knows is given a synthetic address ([`names`]), so that a captured
//! connection is one to exactly the name that was asked for. Nobody outside is ever asked: a name becomes a real address
//! only in [`dial`](crate::dial), after it was decided on. What all doors lead to is one way, [`stream`](crate::stream).
//!
//! Never here: making namespaces, addresses or redirects. Whoever made them hands over the listeners.

pub(crate) mod captured;
pub(crate) mod names;
pub(crate) mod resolver;
pub(crate) mod socks;

use std::io;
use std::net::{TcpListener, UdpSocket};
use std::sync::Arc;

pub(crate) use names::Names;
pub(crate) use resolver::Resolver;

/// Listeners that were opened inside a sandbox's own network namespace.
#[derive(Debug)]
pub struct Doors {
    /// The proxy's port, for HTTP and SOCKS5.
    pub proxy: TcpListener,
    /// Where connections to anywhere else are redirected to; the kernel tells where each was to go.
    pub captured: Vec<TcpListener>,
    /// Where questions to whatever name server are redirected to, over UDP and TCP.
    pub resolver: Option<(UdpSocket, TcpListener)>,
    /// The pid of a process in the namespace, by which clients are identified.
    pub namespace: i32,
}

/// The same for the async runtime.
pub(crate) struct Ready {
    pub(crate) proxy: tokio::net::TcpListener,
    pub(crate) captured: Vec<tokio::net::TcpListener>,
    pub(crate) resolver: Option<(tokio::net::UdpSocket, tokio::net::TcpListener)>,
    pub(crate) namespace: i32,
}

impl Doors {
    /// # Errors
    /// As the system words it.
    pub(crate) fn ready(self) -> io::Result<Ready> {
        let resolver = self.resolver.map(|(udp, tcp)| {
            udp.set_nonblocking(true)?;
            io::Result::Ok((tokio::net::UdpSocket::from_std(udp)?, listener(tcp)?))
        });
        Ok(Ready {
            proxy: listener(self.proxy)?,
            captured: self.captured.into_iter().map(listener).collect::<io::Result<_>>()?,
            resolver: resolver.transpose()?,
            namespace: self.namespace,
        })
    }
}

fn listener(listener: TcpListener) -> io::Result<tokio::net::TcpListener> {
    listener.set_nonblocking(true)?;
    tokio::net::TcpListener::from_std(listener)
}

/// What the clients of a listener know.
pub(crate) enum Door {
    /// That this is a proxy.
    Proxy(Option<Inside>),
    /// Nothing: they wanted to go elsewhere.
    Captured(Inside),
}

/// A sandbox's network namespace, as seen from a door in it.
#[derive(Clone)]
pub(crate) struct Inside {
    /// The addresses that names were given there.
    pub(crate) names: Arc<Names>,
    /// A process in it.
    pub(crate) namespace: i32,
}

impl Door {
    /// A process in the network namespace that its clients are in, where that is not the proxy's own.
    pub(crate) fn namespace(&self) -> Option<i32> {
        match self {
            Door::Proxy(inside) => inside.as_ref().map(|inside| inside.namespace),
            Door::Captured(inside) => Some(inside.namespace),
        }
    }
}
