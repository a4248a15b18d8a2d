//! What a request passes before it is answered: configuration in order, rate limit, headers, login,
//! and how many scrapes are under way.

use bytes::Bytes;
use hyper::header::{HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use hyper::http::request::Parts;
use hyper::{Method, Response, StatusCode};

use super::answer::{finish, text};
use super::auth::{Authenticator, Login};
use super::body::ResponseBody;
use super::config::RateLimit;
use super::live::Live;
use super::places::{Patience, Places};
use super::routes::TelemetryPath;
use super::server::{LastResponse, Limits, OnConnection};

/// Lets requests through. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Gate {
    live: Live,
    logins: Authenticator,
    telemetry_path: TelemetryPath,
    scrapes: Option<Places>,
}

impl Gate {
    /// Takes the rules from `live`, and lets `most_scrapes` requests at a time through to `telemetry_path`;
    /// 0 is no limit. `limits` says how long these may keep others waiting.
    pub fn new(
        live: Live,
        telemetry_path: TelemetryPath,
        most_scrapes: usize,
        limits: Limits,
    ) -> Self {
        let patience = Patience {
            stalled: limits.scrape_stall,
            whole: limits.scrape_time,
        };
        Self {
            live,
            logins: Authenticator::new(),
            telemetry_path,
            scrapes: (most_scrapes > 0).then(|| Places::new(most_scrapes, patience)),
        }
    }

    /// Who checks the logins.
    pub fn logins(&self) -> &Authenticator {
        &self.logins
    }

    /// Answers a request by `answer`, if it may be answered.
    pub async fn pass<R>(
        &self,
        request: &Parts,
        answer: impl FnOnce() -> R,
    ) -> Response<ResponseBody>
    where
        R: Future<Output = Response<ResponseBody>>,
    {
        let current = self.live.current().await;
        if current.is_broken {
            return refusal(
                &request.method,
                StatusCode::INTERNAL_SERVER_ERROR,
                "The web configuration is broken; the log has more.\n",
            );
        }
        if !current.is_within_rate() {
            let mut response = refusal(
                &request.method,
                StatusCode::TOO_MANY_REQUESTS,
                "Too many requests.\n",
            );
            let wait = current.config.rate_limit.map_or(1, seconds_to_wait);
            response.headers_mut().insert(RETRY_AFTER, wait.into());
            return response;
        }
        let mut response = self.log_in(&current.config.users, request, answer).await;
        for (name, value) in &current.config.headers {
            // What is set already is meant for this very response.
            let entry = response.headers_mut().entry(name);
            entry.or_insert_with(|| value.clone());
        }
        response
    }

    async fn log_in<R>(
        &self,
        users: &super::config::Users,
        request: &Parts,
        answer: impl FnOnce() -> R,
    ) -> Response<ResponseBody>
    where
        R: Future<Output = Response<ResponseBody>>,
    {
        if users.is_empty() {
            return self.scrape(request, answer).await;
        }
        let connection = request.extensions.get::<OnConnection>();
        let peer = connection.and_then(|connection| connection.peer);
        let check = self.logins.check(users, &request.headers, peer);
        let login = match connection {
            // Whoever sends wrong passwords on all connections must not keep everybody else off them.
            Some(connection) => connection.giving_way(check).await,
            None => check.await,
        };
        match login {
            Login::Passed => self.scrape(request, answer).await,
            Login::Failed => {
                let mut response =
                    refusal(&request.method, StatusCode::UNAUTHORIZED, "Unauthorized.\n");
                response.headers_mut().insert(
                    WWW_AUTHENTICATE,
                    HeaderValue::from_static(r#"Basic realm="iam-key-exporter", charset="UTF-8""#),
                );
                response
            }
            Login::Busy => {
                let why = "Too many logins wait to be checked.\n";
                let mut response = refusal(&request.method, StatusCode::SERVICE_UNAVAILABLE, why);
                response.headers_mut().insert(RETRY_AFTER, 1.into());
                response.extensions_mut().insert(LastResponse);
                response
            }
        }
    }

    async fn scrape<R>(&self, request: &Parts, answer: impl FnOnce() -> R) -> Response<ResponseBody>
    where
        R: Future<Output = Response<ResponseBody>>,
    {
        let Some(places) = &self.scrapes else {
            return answer().await;
        };
        if request.uri.path() != self.telemetry_path.as_str() {
            return answer().await;
        }
        let Some(place) = places.take() else {
            let most = places.most();
            let why =
                format!("{most} scrapes are under way, which is the limit; try again later.\n");
            return refusal(&request.method, StatusCode::SERVICE_UNAVAILABLE, why);
        };
        // A scrape is under way until its last byte is sent.
        answer().await.map(|body| body.holding(place))
    }
}

/// After how many seconds there is room for another request, if nobody else comes.
fn seconds_to_wait(limit: RateLimit) -> u64 {
    let begun = u64::from(limit.interval.subsec_nanos() > 0);
    (limit.interval.as_secs() + begun).max(1)
}

fn refusal(method: &Method, status: StatusCode, why: impl Into<Bytes>) -> Response<ResponseBody> {
    finish(method, text(status, why))
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::time::Duration;

    use super::*;

    #[test]
    fn whoever_is_over_the_limit_is_told_to_wait_for_the_interval() {
        for (milliseconds, seconds) in [(1, 1), (1000, 1), (1001, 2), (90_000, 90)] {
            let limit = RateLimit {
                interval: Duration::from_millis(milliseconds),
                burst: NonZeroU32::MIN,
            };
            assert_eq!(seconds_to_wait(limit), seconds, "{milliseconds} ms");
        }
    }
}
