//! The API: what the page shows, for programs. docs/api.md is its contract.

mod keys;
mod problem;
mod status;

pub(super) use self::{keys::keys, status::status};

/// The keys.
pub(super) const KEYS: &str = "/api/v1/keys";
/// How things stand.
pub(super) const STATUS: &str = "/api/v1/status";

use chrono::{DateTime, SecondsFormat, Utc};
use hyper::{Response, StatusCode};
use serde::Serialize;

use super::{answer::fresh, body::ResponseBody, routes::Asked};

fn json(asked: &Asked<'_>, status: StatusCode, value: &impl Serialize) -> Response<ResponseBody> {
    typed(asked, status, "application/json", value)
}

fn typed(
    asked: &Asked<'_>,
    status: StatusCode,
    content_type: &'static str,
    value: &impl Serialize,
) -> Response<ResponseBody> {
    let mut body = serde_json::to_vec(value).expect("texts and finite numbers make JSON");
    body.push(b'\n');
    fresh(status, content_type, body, asked.encoding)
}

/// An instant in RFC 3339, whole seconds as IAM gives them.
fn instant(instant: DateTime<Utc>) -> String {
    instant.to_rfc3339_opts(SecondsFormat::Secs, true)
}
