//! What is answered to whom.

mod exposition;
mod probes;
mod telemetry_path;

use std::{fmt, sync::Arc};

use hyper::{Method, Response, StatusCode, Uri, header::HeaderMap};
use tokio::sync::{Semaphore, watch};

pub use self::{
    probes::{Probe, Readiness},
    telemetry_path::{ParseTelemetryPathError, TelemetryPath},
};
use super::{
    answer::{finish, not_allowed, text},
    api,
    body::ResponseBody,
    page,
};
use crate::{clock::Clock, metrics::exposition::Exposer, snapshot::Snapshot};

/// Paths of the health checks, in Prometheus' fashion and in Kubernetes'.
const HEALTHY: [&str; 3] = ["/-/healthy", "/healthz", "/livez"];
const READY: [&str; 2] = ["/-/ready", "/readyz"];

/// Where a reload can be asked for.
pub(super) const RELOAD: &str = "/-/reload";

/// How many pages and answers of the API are made at once. One of 100 000 keys takes some 10 MB while
/// it is made; the others wait.
const MADE_AT_ONCE: usize = 4;

/// Everything that is served, and from what.
#[derive(Clone)]
pub struct RoutesConfig {
    /// Where the metrics are.
    pub telemetry_path: TelemetryPath,
    /// Renders the metrics.
    pub exposer: Exposer,
    /// Tells whether there is something to say.
    pub probe: Probe,
    /// What is known, for page and API.
    pub snapshot: watch::Receiver<Arc<Snapshot>>,
    /// The clock that ages are told by.
    pub clock: Clock,
    /// Whether there are a page and an API.
    pub page: bool,
}

/// Everything that is served.
#[derive(Clone)]
pub struct Routes(Arc<Served>);

struct Served {
    config: RoutesConfig,
    making: Semaphore,
}

/// What a path leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Route {
    Metrics,
    Page,
    /// The place of a page that is turned off.
    Pointer,
    Keys,
    Status,
    Healthy,
    Ready,
}

/// Whether a health check is at the path.
pub(super) fn is_probe(path: &str) -> bool {
    HEALTHY.contains(&path) || READY.contains(&path)
}

/// Whether something else than metrics is at the path.
fn is_taken(path: &str) -> bool {
    is_probe(path) || [RELOAD, api::KEYS, api::STATUS].contains(&path)
}

impl Routes {
    /// Serves what the configuration says.
    pub fn new(config: RoutesConfig) -> Self {
        Self(Arc::new(Served {
            config,
            making: Semaphore::new(MADE_AT_ONCE),
        }))
    }

    /// Answers a request. A request's own body is never read.
    pub async fn respond(
        &self,
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
    ) -> Response<ResponseBody> {
        let Some(route) = self.route(uri.path()) else {
            return finish(method, text(StatusCode::NOT_FOUND, "Not found.\n"));
        };
        if method != Method::GET && method != Method::HEAD {
            let refusal = not_allowed("GET, HEAD", "Only GET and HEAD are allowed here.\n");
            return finish(method, refusal);
        }
        let config = &self.0.config;
        let response = match route {
            Route::Metrics => exposition::metrics(&config.exposer, headers).await,
            Route::Page => self.make(uri, headers, page::respond).await,
            Route::Pointer => self.pointer(),
            Route::Keys => self.make(uri, headers, api::keys).await,
            Route::Status => self.make(uri, headers, api::status).await,
            Route::Healthy => probes::healthy(),
            Route::Ready => probes::ready(&config.probe),
        };
        finish(method, response)
    }

    /// The metrics come first: with the telemetry path `/` there is no page.
    fn route(&self, path: &str) -> Option<Route> {
        let config = &self.0.config;
        if path == config.telemetry_path.as_str() {
            return Some(Route::Metrics);
        }
        match path {
            "/" if config.page => Some(Route::Page),
            "/" => Some(Route::Pointer),
            api::KEYS if config.page => Some(Route::Keys),
            api::STATUS if config.page => Some(Route::Status),
            path if HEALTHY.contains(&path) => Some(Route::Healthy),
            path if READY.contains(&path) => Some(Route::Ready),
            _ => None,
        }
    }

    /// Has an answer made from what is known now. It takes some milliseconds where there are many keys,
    /// in which this thread has other connections to serve.
    async fn make(
        &self,
        uri: &Uri,
        headers: &HeaderMap,
        answer: fn(&Asked<'_>) -> Response<ResponseBody>,
    ) -> Response<ResponseBody> {
        let Served { config, making } = &*self.0;
        let _turn = making.acquire().await;
        let snapshot = Arc::clone(&config.snapshot.borrow());
        let now = config.clock.now();
        let telemetry_path = config.telemetry_path.clone();
        let query = uri.query().map(str::to_owned);
        let encoding = super::answer::encoding(headers);
        let made = tokio::task::spawn_blocking(move || {
            answer(&Asked {
                snapshot: &snapshot,
                now,
                query: query.as_deref(),
                encoding,
                telemetry_path: &telemetry_path,
            })
        });
        made.await.unwrap_or_else(|error| {
            tracing::error!(%error, "a page could not be made");
            text(
                StatusCode::INTERNAL_SERVER_ERROR,
                "This could not be made; the log has more.\n",
            )
        })
    }

    fn pointer(&self) -> Response<ResponseBody> {
        let path = self.0.config.telemetry_path.as_str();
        text(
            StatusCode::OK,
            format!("{}: metrics are at {path}\n", env!("CARGO_PKG_NAME")),
        )
    }
}

/// What a page or an answer of the API is made from.
pub(super) struct Asked<'a> {
    pub(super) snapshot: &'a Snapshot,
    pub(super) now: chrono::DateTime<chrono::Utc>,
    /// The query of the URL.
    pub(super) query: Option<&'a str>,
    pub(super) encoding: crate::metrics::exposition::Encoding,
    pub(super) telemetry_path: &'a TelemetryPath,
}

impl fmt::Debug for Routes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Routes")
            .field("telemetry_path", &self.0.config.telemetry_path)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use hyper::header::{ACCEPT, CONTENT_TYPE, HeaderValue};
    use prometheus_client::{metrics::gauge::Gauge, registry::Registry};

    use super::*;
    use crate::snapshot::KeyIdDisplay;

    fn routes(telemetry_path: &str, page: bool) -> Routes {
        let exposer = Exposer::new(|| {
            let mut registry = Registry::default();
            registry.register("answer", "The answer", Gauge::<i64>::default());
            vec![Arc::new(registry)]
        });
        let before = Snapshot::before_first_refresh(
            Arc::default(),
            KeyIdDisplay::Full,
            Duration::from_mins(5),
        );
        Routes::new(RoutesConfig {
            telemetry_path: telemetry_path.parse().unwrap(),
            exposer,
            probe: Arc::new(|| Readiness::Ready),
            snapshot: watch::channel(Arc::new(before)).1,
            clock: Clock::Fixed(chrono::DateTime::UNIX_EPOCH),
            page,
        })
    }

    #[test]
    fn paths_lead_where_they_should() {
        let table = [
            ("/metrics", Some(Route::Metrics)),
            ("/", Some(Route::Page)),
            ("/api/v1/keys", Some(Route::Keys)),
            ("/api/v1/status", Some(Route::Status)),
            ("/-/healthy", Some(Route::Healthy)),
            ("/healthz", Some(Route::Healthy)),
            ("/livez", Some(Route::Healthy)),
            ("/-/ready", Some(Route::Ready)),
            ("/readyz", Some(Route::Ready)),
            ("", None),
            ("*", None),
            ("/metrics/", None),
            ("/METRICS", None),
            ("//", None),
            ("/api/v1/", None),
        ];
        let routes = routes("/metrics", true);
        for (path, expected) in table {
            assert_eq!(routes.route(path), expected, "{path}");
        }
    }

    #[test]
    fn without_the_page_there_is_no_api() {
        let routes = routes("/metrics", false);
        assert_eq!(routes.route("/"), Some(Route::Pointer));
        assert_eq!(routes.route("/api/v1/keys"), None);
        assert_eq!(routes.route("/api/v1/status"), None);
        assert_eq!(routes.route("/metrics"), Some(Route::Metrics));
    }

    #[test]
    fn metrics_win_over_the_page() {
        assert_eq!(routes("/", true).route("/"), Some(Route::Metrics));
        assert_eq!(routes("/", true).route("/metrics"), None);
    }

    #[tokio::test]
    async fn header_lines_are_one_list() {
        let mut headers = HeaderMap::new();
        headers.append(ACCEPT, HeaderValue::from_static("text/plain;q=0.5"));
        headers.append(ACCEPT, HeaderValue::from_bytes(b"\xff").unwrap());
        headers.append(
            ACCEPT,
            HeaderValue::from_static("application/openmetrics-text"),
        );
        let response = routes("/metrics", true)
            .respond(&Method::GET, &Uri::from_static("/metrics"), &headers)
            .await;
        assert!(
            response.headers()[CONTENT_TYPE]
                .to_str()
                .unwrap()
                .contains("openmetrics")
        );
    }
}
