//! Responses as they are all made, and what they are made by.

use std::io::{self, Write as _};

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use hyper::{
    Method, Response, StatusCode,
    header::{
        ACCEPT_ENCODING, ALLOW, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE,
        HeaderMap, HeaderName, HeaderValue, VARY, X_CONTENT_TYPE_OPTIONS,
    },
};

use super::{body::ResponseBody, negotiation};
use crate::metrics::exposition::Encoding;

/// Bodies below this many bytes are sent as they are: packing them saves no packet.
const WORTH_PACKING: usize = 1400;

/// A header that may be sent in several lines, as the one list it stands for.
pub(super) fn joined(headers: &HeaderMap, name: HeaderName) -> Option<String> {
    let lines: Vec<_> = headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .collect();
    (!lines.is_empty()).then(|| lines.join(","))
}

/// How the body of the answer to a request with these headers may be packed.
pub(super) fn encoding(headers: &HeaderMap) -> Encoding {
    negotiation::encoding(joined(headers, ACCEPT_ENCODING).as_deref())
}

/// A plain text.
pub(super) fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<ResponseBody> {
    let mut response = Response::new(ResponseBody::from(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    response
}

/// The refusal of a method that isn't among those allowed.
pub(super) fn not_allowed(allowed: &'static str, message: &'static str) -> Response<ResponseBody> {
    let mut refusal = text(StatusCode::METHOD_NOT_ALLOWED, message);
    refusal
        .headers_mut()
        .insert(ALLOW, HeaderValue::from_static(allowed));
    refusal
}

/// A body that was made for this one request, and that nobody may keep: it tells of one instant, and
/// to somebody who may see it.
pub(super) fn fresh(
    status: StatusCode,
    content_type: &'static str,
    body: Vec<u8>,
    encoding: Encoding,
) -> Response<ResponseBody> {
    let packed = (encoding == Encoding::Gzip && body.len() >= WORTH_PACKING)
        .then(|| gzip(&body).ok())
        .flatten();
    let is_packed = packed.is_some();
    let mut response = Response::new(ResponseBody::from(Bytes::from(packed.unwrap_or(body))));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(VARY, HeaderValue::from_static("Accept-Encoding"));
    if is_packed {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response
}

fn gzip(body: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 4), Compression::fast());
    encoder.write_all(body)?;
    encoder.finish()
}

/// Sets what all responses share. HEAD keeps the length of the body that it takes away, if it is known.
pub(super) fn finish(
    method: &Method,
    mut response: Response<ResponseBody>,
) -> Response<ResponseBody> {
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
