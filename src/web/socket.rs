//! Sockets that systemd opened.

use std::io;

use listenfd::ListenFd;
use rustix::io::{FdFlags, fcntl_setfd};
use tokio::net::TcpListener;

/// Why there are no sockets.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// The process wasn't started for a socket.
    #[error(
        "systemd passed no sockets on; --web.systemd-socket needs a .socket unit that starts this service"
    )]
    Missing,
    /// The unit has other sockets than TCP's.
    #[error(
        "a socket that systemd passed on is not a listening TCP socket; use ListenStream= with a port"
    )]
    Other(#[source] io::Error),
}

/// Takes the sockets over.
///
/// # Panics
/// Must be called in a Tokio runtime.
pub(super) fn take() -> Result<Vec<TcpListener>, SocketError> {
    let mut passed = ListenFd::from_env();
    let mut listeners = Vec::new();
    for at in 0..passed.len() {
        let Some(listener) = passed.take_tcp_listener(at).map_err(SocketError::Other)? else {
            continue;
        };
        listeners.push(own(listener).map_err(SocketError::Other)?);
    }
    if listeners.is_empty() {
        return Err(SocketError::Missing);
    }
    Ok(listeners)
}

fn own(listener: std::net::TcpListener) -> io::Result<TcpListener> {
    // A process that fetches credentials must not hold the port.
    fcntl_setfd(&listener, FdFlags::CLOEXEC)?;
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}
