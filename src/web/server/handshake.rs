//! From TCP to TLS.

use std::pin::Pin;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_io_timeout::TimeoutStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::connection::patient;
use super::limits::Limits;
use crate::web::live::Live;

/// The first byte of a TLS record that holds a handshake (RFC 8446, 5.1).
const HANDSHAKE: u8 = 22;

/// Whoever speaks HTTP to an `https` port is told so, as Go's servers do.
const NOT_TLS: &[u8] = b"HTTP/1.1 400 Bad Request\r\n\
    Content-Type: text/plain; charset=utf-8\r\n\
    Content-Length: 48\r\n\
    Connection: close\r\n\
    \r\n\
    Client sent an HTTP request to an HTTPS server.\n";

/// How much of a request is read before the connection is closed, in bytes and in time. Closing with unread
/// bytes resets the connection, which may take the answer along.
const LINGER_BYTES: u64 = 64 * 1024;
const LINGER: Duration = Duration::from_secs(1);

/// What is spoken over TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    Http1,
    Http2,
}

pub(super) type Secured = TlsStream<Pin<Box<TimeoutStream<TcpStream>>>>;

/// Does the handshake, and tells what to speak and which generation of the configuration it was done by.
/// None means that the connection is over.
pub(super) async fn accept(
    stream: TcpStream,
    live: &Live,
    limits: Limits,
) -> Option<(Secured, Protocol, u64)> {
    let mut first = [0];
    if stream.peek(&mut first).await.ok()? == 0 {
        return None;
    }
    if first[0] != HANDSHAKE {
        tracing::debug!("a client does not speak TLS");
        if first[0].is_ascii_uppercase() {
            refuse(stream).await;
        }
        return None;
    }
    // A broken configuration lets the handshake through, for the request to be told.
    let current = live.current().await;
    let tls = current.config.tls.as_ref()?;
    let acceptor = TlsAcceptor::from(tls.server_config());
    match acceptor.accept(patient(stream, limits)).await {
        Ok(stream) => {
            let protocol = match stream.get_ref().1.alpn_protocol() {
                Some(b"h2") => Protocol::Http2,
                _ => Protocol::Http1,
            };
            Some((stream, protocol, current.generation))
        }
        Err(error) => {
            tracing::debug!(%error, "a TLS handshake failed");
            None
        }
    }
}

async fn refuse(mut stream: TcpStream) {
    let farewell = async {
        stream.write_all(NOT_TLS).await?;
        stream.shutdown().await?;
        let mut rest = stream.take(LINGER_BYTES);
        tokio::io::copy(&mut rest, &mut tokio::io::sink()).await
    };
    // What becomes of it is the client's trouble.
    let _ = timeout(LINGER, farewell).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_refusal_is_a_whole_response() {
        let text = std::str::from_utf8(NOT_TLS).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())));
    }
}
