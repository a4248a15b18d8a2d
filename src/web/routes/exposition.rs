//! The metrics.

use hyper::{
    Response, StatusCode,
    header::{ACCEPT, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue, VARY},
};

use crate::{
    metrics::exposition::{Encoding, Exposer},
    web::{
        answer::{encoding, joined, text},
        body::ResponseBody,
        negotiation,
    },
};

pub(super) async fn metrics(exposer: &Exposer, headers: &HeaderMap) -> Response<ResponseBody> {
    let format = negotiation::format(joined(headers, ACCEPT).as_deref());
    let encoding = encoding(headers);
    let exposition = match exposer.scrape(format, encoding).await {
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
