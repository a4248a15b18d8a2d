//! The health checks.

use std::{borrow::Cow, sync::Arc};

use hyper::{Response, StatusCode};

use crate::web::{answer::text, body::ResponseBody};

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

pub(super) fn healthy() -> Response<ResponseBody> {
    text(StatusCode::OK, "OK\n")
}

pub(super) fn ready(probe: &Probe) -> Response<ResponseBody> {
    match probe() {
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

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    #[tokio::test]
    async fn a_reason_stays_on_its_line() {
        let response = ready(&(Arc::new(|| Readiness::NotReady("no\r\nluck".into())) as Probe));
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        let text = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(text, "Not ready: no  luck\n");
    }
}
