//! What is wrong with a request, in the form of RFC 9457.

use hyper::{Response, StatusCode};
use serde::Serialize;

use super::typed;
use crate::{
    web::{body::ResponseBody, routes::Asked},
    worklist::parameters::BadParameter,
};

#[derive(Serialize)]
struct Problem<'a> {
    title: &'a str,
    status: u16,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    parameter: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    allowed: Option<&'a str>,
}

pub(super) fn bad_parameter(asked: &Asked<'_>, bad: &BadParameter) -> Response<ResponseBody> {
    let status = StatusCode::BAD_REQUEST;
    let problem = Problem {
        title: "A parameter can't be used",
        status: status.as_u16(),
        detail: bad.to_string(),
        parameter: Some(&bad.name),
        allowed: Some(&bad.allowed),
    };
    typed(asked, status, "application/problem+json", &problem)
}

/// Nothing is known yet. An empty list would be taken for "no keys".
pub(super) fn not_ready(asked: &Asked<'_>, detail: String) -> Response<ResponseBody> {
    let status = StatusCode::SERVICE_UNAVAILABLE;
    let problem = Problem {
        title: "Nothing is known yet",
        status: status.as_u16(),
        detail,
        parameter: None,
        allowed: None,
    };
    typed(asked, status, "application/problem+json", &problem)
}
