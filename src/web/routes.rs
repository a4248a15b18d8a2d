//! What is answered to whom.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use bytes::Bytes;
use hyper::header::{
    ACCEPT, ACCEPT_ENCODING, ALLOW, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_SECURITY_POLICY,
    CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, VARY, X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Method, Response, StatusCode};

use super::body::ResponseBody;
use super::negotiation;
use crate::metrics::exposition::{Encoding, Exposer};

/// Paths of the health checks, in Prometheus' fashion and in Kubernetes'.
const HEALTHY: [&str; 3] = ["/-/healthy", "/healthz", "/livez"];
const READY: [&str; 2] = ["/-/ready", "/readyz"];

/// The page has no script, no style and no picture; nothing needs to be allowed.
const NOTHING_ALLOWED: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);

/// The path that serves the metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TelemetryPath(String);

impl TelemetryPath {
    /// The path as it stands in a request.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Why a text is not a [`TelemetryPath`].
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseTelemetryPathError {
    /// It is empty or relative, or a browser would take it for a host.
    #[error("a telemetry path must start with a single /")]
    Start,
    /// It holds something that no request's path does.
    #[error("a telemetry path is ASCII without spaces, ? and #; percent-encode everything else")]
    Character,
    /// A health check is there.
    #[error("this path serves a health check; choose another")]
    Taken,
}

impl FromStr for TelemetryPath {
    type Err = ParseTelemetryPathError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if !text.starts_with('/') || text.starts_with("//") {
            return Err(ParseTelemetryPathError::Start);
        }
        if !text
            .bytes()
            .all(|b| b.is_ascii_graphic() && !matches!(b, b'?' | b'#'))
        {
            return Err(ParseTelemetryPathError::Character);
        }
        if HEALTHY.contains(&text) || READY.contains(&text) {
            return Err(ParseTelemetryPathError::Taken);
        }
        Ok(Self(text.to_owned()))
    }
}

/// Whether the exporter has something to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// It has.
    Ready,
    /// It hasn't; the reason, in a few words.
    NotReady(Cow<'static, str>),
}

/// Tells the readiness at the moment it is asked.
pub type Probe = Arc<dyn Fn() -> Readiness + Send + Sync>;

/// Everything that is served.
#[derive(Clone)]
pub struct Routes(Arc<Served>);

struct Served {
    telemetry_path: TelemetryPath,
    exposer: Exposer,
    probe: Probe,
    landing_page: Bytes,
}

/// What a path leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Route {
    Metrics,
    Landing,
    Healthy,
    Ready,
}

impl Routes {
    /// Serves `exposer` at `telemetry_path`; the health checks ask `probe`.
    pub fn new(telemetry_path: TelemetryPath, exposer: Exposer, probe: Probe) -> Self {
        let landing_page = landing_page(&telemetry_path).into();
        Self(Arc::new(Served {
            telemetry_path,
            exposer,
            probe,
            landing_page,
        }))
    }

    /// Answers a request. A request's own body is never read.
    pub async fn respond(
        &self,
        method: &Method,
        path: &str,
        headers: &HeaderMap,
    ) -> Response<ResponseBody> {
        let Some(route) = self.route(path) else {
            return finish(method, text(StatusCode::NOT_FOUND, "Not found.\n"));
        };
        if method != Method::GET && method != Method::HEAD {
            let mut refusal = text(
                StatusCode::METHOD_NOT_ALLOWED,
                "Only GET and HEAD are allowed here.\n",
            );
            refusal
                .headers_mut()
                .insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return finish(method, refusal);
        }
        let response = match route {
            Route::Metrics => self.metrics(headers).await,
            Route::Landing => self.landing(),
            Route::Healthy => text(StatusCode::OK, "OK\n"),
            Route::Ready => self.ready(),
        };
        finish(method, response)
    }

    /// The metrics come first: with the telemetry path `/` there is no landing page.
    fn route(&self, path: &str) -> Option<Route> {
        if path == self.0.telemetry_path.as_str() {
            Some(Route::Metrics)
        } else if path == "/" {
            Some(Route::Landing)
        } else if HEALTHY.contains(&path) {
            Some(Route::Healthy)
        } else if READY.contains(&path) {
            Some(Route::Ready)
        } else {
            None
        }
    }

    async fn metrics(&self, headers: &HeaderMap) -> Response<ResponseBody> {
        let format = negotiation::format(joined(headers, ACCEPT).as_deref());
        let encoding = negotiation::encoding(joined(headers, ACCEPT_ENCODING).as_deref());
        let exposition = match self.0.exposer.scrape(format, encoding).await {
            Ok(exposition) => exposition,
            Err(error) => {
                tracing::error!(%error, "a scrape failed");
                return text(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "The metrics could not be collected; the log has more.\n",
                );
            }
        };
        let mut response = Response::new(ResponseBody::from(exposition));
        let headers = response.headers_mut();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static(format.content_type()),
        );
        headers.insert(VARY, HeaderValue::from_static("Accept, Accept-Encoding"));
        if encoding == Encoding::Gzip {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        response
    }

    fn landing(&self) -> Response<ResponseBody> {
        let mut response = Response::new(ResponseBody::from(self.0.landing_page.clone()));
        let headers = response.headers_mut();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("text/html; charset=utf-8"),
        );
        headers.insert(CONTENT_SECURITY_POLICY, NOTHING_ALLOWED);
        response
    }

    fn ready(&self) -> Response<ResponseBody> {
        match (self.0.probe)() {
            Readiness::Ready => text(StatusCode::OK, "Ready\n"),
            Readiness::NotReady(reason) => {
                let reason = reason.replace(char::is_control, " ");
                text(
                    StatusCode::SERVICE_UNAVAILABLE,
                    format!("Not ready: {reason}\n"),
                )
            }
        }
    }
}

impl fmt::Debug for Routes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Routes")
            .field("telemetry_path", &self.0.telemetry_path)
            .finish_non_exhaustive()
    }
}

/// A header that may be sent in several lines, as the one list it stands for.
fn joined(headers: &HeaderMap, name: HeaderName) -> Option<String> {
    let lines: Vec<_> = headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .collect();
    (!lines.is_empty()).then(|| lines.join(","))
}

fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<ResponseBody> {
    let mut response = Response::new(ResponseBody::from(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    response
}

/// Sets what all responses share. HEAD keeps the length of the body that it takes away, if it is known.
fn finish(method: &Method, mut response: Response<ResponseBody>) -> Response<ResponseBody> {
    let len = response.body().remaining();
    let headers = response.headers_mut();
    if let Some(len) = len {
        headers.insert(CONTENT_LENGTH, len.into());
    }
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // Without a length the body stays, for an empty one would be given the length 0; it isn't sent.
    if method == Method::HEAD && len.is_some() {
        *response.body_mut() = ResponseBody::from(Bytes::new());
    }
    response
}

fn landing_page(telemetry_path: &TelemetryPath) -> String {
    let name = env!("CARGO_PKG_NAME");
    let version = env!("CARGO_PKG_VERSION");
    let description = env!("CARGO_PKG_DESCRIPTION");
    let path = html_escape::encode_double_quoted_attribute(telemetry_path.as_str());
    format!(
        r#"<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{name}</title>
</head>
<body>
<main>
<h1>{name}</h1>
<p>{description}. Version {version}.</p>
<ul>
<li><a href="{path}">Metrics</a></li>
<li><a href="/-/healthy">Health</a></li>
<li><a href="/-/ready">Readiness</a></li>
</ul>
</main>
</body>
</html>
"#
    )
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;
    use prometheus_client::metrics::gauge::Gauge;
    use prometheus_client::registry::Registry;

    use super::*;

    fn routes(telemetry_path: &str) -> Routes {
        let exposer = Exposer::new(|| {
            let mut registry = Registry::default();
            registry.register("answer", "The answer", Gauge::<i64>::default());
            vec![Arc::new(registry)]
        });
        let path = telemetry_path.parse().unwrap();
        Routes::new(path, exposer, Arc::new(|| Readiness::Ready))
    }

    #[test]
    fn paths_lead_where_they_should() {
        let table = [
            ("/metrics", Some(Route::Metrics)),
            ("/", Some(Route::Landing)),
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
            ("/-/reload", None),
        ];
        let routes = routes("/metrics");
        for (path, expected) in table {
            assert_eq!(routes.route(path), expected, "{path}");
        }
    }

    #[test]
    fn metrics_win_over_the_landing_page() {
        assert_eq!(routes("/").route("/"), Some(Route::Metrics));
        assert_eq!(routes("/").route("/metrics"), None);
    }

    #[test]
    fn telemetry_paths() {
        use ParseTelemetryPathError::{Character, Start, Taken};
        for good in ["/", "/metrics", "/a/b-c_d~e/%C3%A4", "/\"<>'&"] {
            assert_eq!(good.parse::<TelemetryPath>().unwrap().as_str(), good);
        }
        let table = [
            ("", Start),
            ("metrics", Start),
            ("//host/metrics", Start),
            ("http://host/metrics", Start),
            ("/metrics?x=1", Character),
            ("/metrics#top", Character),
            ("/my metrics", Character),
            ("/metrics\n", Character),
            ("/mätrics", Character),
            ("/-/ready", Taken),
            ("/healthz", Taken),
        ];
        for (bad, expected) in table {
            assert_eq!(
                bad.parse::<TelemetryPath>().unwrap_err(),
                expected,
                "{bad:?}"
            );
        }
    }

    #[test]
    fn the_landing_page_escapes_the_telemetry_path() {
        let page = landing_page(&"/\"><script>&".parse().unwrap());
        assert!(page.contains(r#"<a href="/&quot;"#), "{page}");
        assert!(!page.contains("\"><script"), "{page}");
        assert!(page.contains(env!("CARGO_PKG_VERSION")));
    }

    #[tokio::test]
    async fn a_reason_stays_on_its_line() {
        let mut routes = routes("/metrics");
        Arc::get_mut(&mut routes.0).unwrap().probe =
            Arc::new(|| Readiness::NotReady("no\r\nluck".into()));
        let response = routes
            .respond(&Method::GET, "/readyz", &HeaderMap::new())
            .await;
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        let text = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(text, "Not ready: no  luck\n");
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
        let response = routes("/metrics")
            .respond(&Method::GET, "/metrics", &headers)
            .await;
        assert!(
            response.headers()[CONTENT_TYPE]
                .to_str()
                .unwrap()
                .contains("openmetrics")
        );
    }
}
