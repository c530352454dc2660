//! Opaque bytes, relayed for as long as the policy calls the endpoint opaque.

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use crate::grant::Revoked;

/// Two of these a tunnel.
const BUFFER: usize = 16 << 10;

/// Relays until either end closes, the grant goes or the proxy stops. Dropping both streams is what closes them.
pub(crate) async fn relay<S>(mut client: S, mut upstream: TcpStream, revoked: Revoked, stop: &CancellationToken)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    tokio::select! {
        _ = tokio::io::copy_bidirectional_with_sizes(&mut client, &mut upstream, BUFFER, BUFFER) => {}
        _ = revoked => tracing::info!("a tunnel was closed: the policy no longer allows it"),
        () = stop.cancelled() => {}
    }
}
