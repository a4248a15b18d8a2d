//! The two doors: one for all that is served, behind the gate, and one for the health checks alone.

use futures_util::FutureExt as _;
use hyper::body::Incoming;
use hyper::{Request, StatusCode};
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
        gate: Gate::new(live, args.telemetry_path.clone(), args.max_requests),
    })
}

impl Web {
    /// Logs where it listens.
    pub fn announce(&self) {
        let tls = self.is_tls;
        for address in self.main.addresses() {
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
    let response = gate.pass(head.uri.path(), &head.headers, async || {
        if head.uri.path() == routes::RELOAD {
            reload::respond(&head.method, &head.headers, reload.as_ref()).await
        } else {
            routes.respond(&head.method, &head.uri, &head.headers).await
        }
    });
    finish(&head.method, response.await)
}

async fn probe(request: Request<Incoming>, routes: Routes) -> Response {
    let (head, _) = request.into_parts();
    if routes::is_probe(head.uri.path()) {
        routes.respond(&head.method, &head.uri, &head.headers).await
    } else {
        let text = text(StatusCode::NOT_FOUND, "Only health checks are here.\n");
        finish(&head.method, text)
    }
}
