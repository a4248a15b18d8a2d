//! The two doors: one for all that is served, behind the gate, and one for the health checks alone.

use std::net::SocketAddr;
use std::str::FromStr as _;

use futures_util::FutureExt as _;
use hyper::body::Incoming;
use hyper::header::HOST;
use hyper::http::request::Parts;
use hyper::http::uri::Authority;
use hyper::{Request, StatusCode, Version};
use tokio::task::spawn_blocking;

use super::answer::{finish, text};
use super::args::Args;
use super::files;
use super::gate::Gate;
use super::listen::BindError;
use super::live::Live;
use super::reload::{self, Reload};
use super::routes::{self, Routes};
use super::server::{self, Bound, Limits};
use super::socket::{self, SocketError};
use crate::yaml::FileError;

/// Why nothing is served.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The web configuration is broken.
    #[error(transparent)]
    Config(#[from] FileError),
    /// An address can't be listened on.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// Nobody passed on a socket to listen on.
    #[error(transparent)]
    Socket(#[from] SocketError),
    /// The file could not be read to its end.
    #[error("the web configuration was not read")]
    Aborted(#[source] tokio::task::JoinError),
}

/// All that listens, and by which rules. Clients wait in the kernel.
#[derive(Debug)]
pub struct Web {
    main: Bound,
    probes: Option<Bound>,
    gate: Gate,
    is_tls: bool,
}

/// Reads the web configuration and listens.
///
/// # Errors
/// Says in one line what can't be used.
pub async fn bind(args: &Args) -> Result<Web, StartError> {
    let live = match args.config_file.clone() {
        None => Live::without_file(),
        Some(path) => spawn_blocking(|| Live::open(path))
            .await
            .map_err(StartError::Aborted)??,
    };
    let limits = Limits::default();
    let limits = limits.within_files(files::allow(limits.files()));
    let main = if args.systemd_socket {
        Bound::new(socket::take()?, limits)
    } else {
        server::bind(&args.listen_addresses, limits).await?
    };
    let probes = match &args.probe_listen_addresses[..] {
        [] => None,
        addresses => Some(server::bind(addresses, limits).await?),
    };
    Ok(Web {
        main: main.with_tls_of(&live),
        probes,
        is_tls: live.is_tls(),
        gate: Gate::new(live, args.telemetry_path.clone(), args.max_requests, limits),
    })
}

impl Web {
    /// The addresses of the main door, with the ports that the system chose.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.main.addresses()
    }

    /// Logs where it listens.
    pub fn announce(&self) {
        let tls = self.is_tls;
        for address in self.addresses() {
            tracing::info!(%address, tls, "listening");
        }
        for address in self.probes.iter().flat_map(Bound::addresses) {
            tracing::info!(%address, "listening for health checks");
        }
    }

    /// Answers requests by `routes` until `shutdown` is ready and the requests in flight are done.
    /// Whoever may ask for a reload asks `reload`.
    pub async fn serve(
        self,
        routes: Routes,
        reload: Option<Reload>,
        shutdown: impl Future<Output = ()>,
    ) {
        let Self {
            main, probes, gate, ..
        } = self;
        let shutdown = shutdown.shared();
        let for_probes = routes.clone();
        let main = main.run(
            move |request| answer(request, gate.clone(), routes.clone(), reload.clone()),
            shutdown.clone(),
        );
        let probes = async {
            if let Some(probes) = probes {
                probes
                    .run(move |request| probe(request, for_probes.clone()), shutdown)
                    .await;
            }
        };
        tokio::join!(main, probes);
    }
}

type Response = hyper::Response<super::body::ResponseBody>;

async fn answer(
    request: Request<Incoming>,
    gate: Gate,
    routes: Routes,
    reload: Option<Reload>,
) -> Response {
    // The body is dropped unread.
    let (head, _) = request.into_parts();
    if let Some(refusal) = without_host(&head) {
        return refusal;
    }
    gate.pass(&head, async || {
        if head.uri.path() == routes::RELOAD {
            let host = head.uri.authority();
            let response = reload::respond(&head.method, host, &head.headers, reload.as_ref());
            finish(&head.method, response.await)
        } else {
            routes.respond(&head.method, &head.uri, &head.headers).await
        }
    })
    .await
}

async fn probe(request: Request<Incoming>, routes: Routes) -> Response {
    let (head, _) = request.into_parts();
    if let Some(refusal) = without_host(&head) {
        return refusal;
    }
    if routes::is_probe(head.uri.path()) {
        routes.respond(&head.method, &head.uri, &head.headers).await
    } else {
        let text = text(StatusCode::NOT_FOUND, "Only health checks are here.\n");
        finish(&head.method, text)
    }
}

/// The refusal that a request of HTTP/1.1 must be given unless it names one host (RFC 9112, 3.2). Proxies
/// that take one of several each see another request.
fn without_host(head: &Parts) -> Option<Response> {
    let mut hosts = head.headers.get_all(HOST).iter();
    let is_sound = match (hosts.next(), hosts.next()) {
        (Some(host), None) => host.to_str().is_ok_and(|host| {
            // Empty for a URI without an authority (RFC 9112, 3.2).
            host.is_empty()
                || Authority::from_str(host).is_ok_and(|host| !host.as_str().contains('@'))
        }),
        (Some(_), Some(_)) => false,
        (None, _) => head.version != Version::HTTP_11,
    };
    (!is_sound).then(|| {
        let text = text(
            StatusCode::BAD_REQUEST,
            "The request names no host, or not just one.\n",
        );
        finish(&head.method, text)
    })
}
