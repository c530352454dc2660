//! Opaque bytes, relayed for as long as the policy calls the endpoint opaque.

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use crate::grant::Revoked;

/// Two of these a tunnel.
const BUFFER: usize = 16 << 10;

/// Relays until either end closes, the grant goes or the proxy stops. Dropping both streams is what closes them.
pub(crate) async fn relay(client: OnUpgrade, mut upstream: TcpStream, revoked: Revoked, stop: CancellationToken) {
    let Ok(client) = client.await else { return };
    let mut client = TokioIo::new(client);
    tokio::select! {
        _ = tokio::io::copy_bidirectional_with_sizes(&mut client, &mut upstream, BUFFER, BUFFER) => {}
        _ = revoked => tracing::info!("a tunnel was closed: the policy no longer allows it"),
        () = stop.cancelled() => {}
    }
}
