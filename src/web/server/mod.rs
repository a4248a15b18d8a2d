//! Serving HTTP/1.1, and HTTP/2 over TLS: configured, then bound, then running until told to stop.

mod accept;
mod activity;
mod connection;
mod connections;
mod handshake;
mod limits;
mod lingering;

use std::net::SocketAddr;
use std::pin::pin;

use hyper::body::Incoming;
use hyper::{Request, Response};
use tokio::net::TcpListener;

use super::body::ResponseBody;
use super::listen::{BindError, ListenAddress};
use super::live::Live;
use accept::Acceptor;
pub(super) use connection::{LastResponse, OnConnection};
use connections::Connections;
pub use limits::Limits;

/// A server that listens and does not serve yet: clients wait in the kernel.
#[derive(Debug)]
pub struct Bound {
    listeners: Vec<TcpListener>,
    limits: Limits,
    tls: Option<Live>,
}

/// Listens on all the addresses.
///
/// # Errors
/// Fails if any one of them can't be had.
pub async fn bind(addresses: &[ListenAddress], limits: Limits) -> Result<Bound, BindError> {
    let mut listeners = Vec::new();
    for address in addresses {
        listeners.extend(address.bind().await?);
    }
    Ok(Bound::new(listeners, limits))
}

impl Bound {
    /// Takes over what listens already.
    pub fn new(listeners: Vec<TcpListener>, limits: Limits) -> Self {
        Self {
            listeners,
            limits,
            tls: None,
        }
    }

    /// Speaks TLS as `live` says, if it says so.
    #[must_use]
    pub fn with_tls_of(self, live: &Live) -> Self {
        Self {
            tls: live.is_tls().then(|| live.clone()),
            ..self
        }
    }

    /// The addresses it listens on, with the ports that the system chose.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.listeners
            .iter()
            .filter_map(|listener| listener.local_addr().ok())
            .collect()
    }

    /// Answers requests with `handler` until `shutdown` is ready; then stops listening, closes idle
    /// connections, and returns once the requests in flight are answered, or the drain time is over.
    ///
    /// Dropping the future closes everything at once.
    pub async fn run<H, R>(self, handler: H, shutdown: impl Future<Output = ()>)
    where
        H: Fn(Request<Incoming>) -> R + Clone + Send + Sync + 'static,
        R: Future<Output = Response<ResponseBody>> + Send + 'static,
    {
        let Self {
            listeners,
            limits,
            tls,
        } = self;
        let mut acceptor = Acceptor::new(listeners);
        let mut connections = Connections::new(limits, tls);
        let mut shutdown = pin!(shutdown);
        loop {
            let has_room = connections.has_room();
            tokio::select! {
                biased;
                () = &mut shutdown => break,
                () = connections.make_room() => {}
                accepted = acceptor.accept(), if has_room => match accepted {
                    Some(stream) => connections.serve(stream, handler.clone()),
                    // Out of descriptors, most likely, which idle connections hold.
                    None => connections.cut_idle(),
                }
            }
        }
        drop(acceptor);
        connections.drain().await;
    }
}
