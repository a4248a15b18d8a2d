//! Asking for a reload over HTTP: `POST /-/reload`.

use hyper::header::{HOST, HeaderMap, HeaderName, ORIGIN};
use hyper::http::uri::Authority;
use hyper::{Method, Response, StatusCode};
use tokio::sync::{mpsc, oneshot};

use super::answer::{not_allowed, text};
use super::body::ResponseBody;

/// What became of a reload; an error is one line for whoever asked.
pub type Outcome = Result<(), String>;

/// Whoever reloads answers each of these.
pub type Requests = mpsc::Receiver<oneshot::Sender<Outcome>>;

/// How many may wait for their reload. They cost nothing much, and nobody needs many.
const MOST_WAITING: usize = 16;

/// Asks for reloads. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Reload(mpsc::Sender<oneshot::Sender<Outcome>>);

impl Reload {
    /// Somebody who asks, and what is asked for.
    pub fn channel() -> (Self, Requests) {
        let (sender, requests) = mpsc::channel(MOST_WAITING);
        (Self(sender), requests)
    }

    /// Asks for a reload, and waits for what becomes of it.
    ///
    /// # Errors
    /// Says in one line why the configuration stays as it was.
    pub async fn ask(&self) -> Outcome {
        let (reply, outcome) = oneshot::channel();
        let asked = self.0.send(reply).await;
        let outcome = match asked {
            Ok(()) => outcome.await.ok(),
            Err(_) => None,
        };
        outcome.unwrap_or_else(|| Err("nobody reloads any more".into()))
    }
}

/// Where a browser says that a request comes from (Fetch Metadata, 2.3).
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Answers a request for a reload, with the statuses of Prometheus.
pub(super) async fn respond(
    method: &Method,
    host: Option<&Authority>,
    headers: &HeaderMap,
    reload: Option<&Reload>,
) -> Response<ResponseBody> {
    let Some(reload) = reload else {
        return text(
            StatusCode::FORBIDDEN,
            "Reloading over HTTP is turned off; --web.enable-lifecycle turns it on.\n",
        );
    };
    if method != Method::POST && method != Method::PUT {
        return not_allowed("POST, PUT", "Only POST and PUT are allowed here.\n");
    }
    // A browser sends a login along that the page of somebody else makes use of.
    let site = headers.get(SEC_FETCH_SITE);
    if site.is_some_and(|site| site != "same-origin" && site != "none")
        || !is_from_host(host, headers)
    {
        let refusal = "A page of another site may not ask for this.\n";
        return text(StatusCode::FORBIDDEN, refusal);
    }
    match reload.ask().await {
        Ok(()) => text(StatusCode::OK, "Reloaded.\n"),
        Err(why) => {
            let why = why.replace(char::is_control, " ");
            text(
                StatusCode::INTERNAL_SERVER_ERROR,
                format!("Not reloaded: {why}\n"),
            )
        }
    }
}

/// Whether all pages that the request is said to come from are of the host that it is for. Older browsers and
/// plain HTTP know nothing but this. `host` is that of the request's own address, as in HTTP/2.
fn is_from_host(host: Option<&Authority>, headers: &HeaderMap) -> bool {
    let named = headers.get(HOST).and_then(|host| host.to_str().ok());
    let Some(host) = host.map(Authority::as_str).or(named) else {
        return !headers.contains_key(ORIGIN);
    };
    headers.get_all(ORIGIN).iter().all(|origin| {
        let origin = origin.to_str().ok().and_then(|text| text.split_once("://"));
        origin.is_some_and(|(_, authority)| authority.eq_ignore_ascii_case(host))
    })
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    #[test]
    fn pages_of_other_hosts_are_told_by_their_origin() {
        let table: [(&str, Option<&str>, &[&str], bool); 9] = [
            ("x:1", None, &[], true),
            ("x:1", None, &["http://x:1"], true),
            ("X:1", None, &["https://x:1"], true),
            ("x:1", None, &["http://x"], false),
            ("x:1", None, &["http://evil:1"], false),
            ("x:1", None, &["null"], false),
            ("x:1", None, &["http://x:1", "http://evil:1"], false),
            ("evil:1", Some("x:1"), &["http://evil:1"], false),
            ("", Some("x:1"), &["https://x:1"], true),
        ];
        for (named, host, origins, expected) in table {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, HeaderValue::from_str(named).unwrap());
            for origin in origins {
                headers.append(ORIGIN, HeaderValue::from_str(origin).unwrap());
            }
            let host: Option<Authority> = host.map(|host| host.parse().unwrap());
            let is_from_host = is_from_host(host.as_ref(), &headers);
            assert_eq!(is_from_host, expected, "{named} {host:?} {origins:?}");
        }
    }

    #[tokio::test]
    async fn whoever_asks_hears_what_became_of_it() {
        let (reload, mut requests) = Reload::channel();
        for outcome in [Ok(()), Err("line 1: no".to_owned())] {
            let (heard, ()) = tokio::join!(reload.ask(), async {
                let reply = requests.recv().await.unwrap();
                reply.send(outcome.clone()).unwrap();
            });
            assert_eq!(heard, outcome);
        }
    }

    #[tokio::test]
    async fn nobody_waits_for_what_will_not_come() {
        let (reload, mut requests) = Reload::channel();
        let (heard, ()) = tokio::join!(reload.ask(), async {
            drop(requests.recv().await.unwrap());
        });
        assert!(heard.is_err());
        drop(requests);
        assert!(reload.ask().await.is_err());
    }
}
