//! The HTTP side: connections, requests, and answers that may be broken on purpose.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::BodyExt as _;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::body::AnswerBody;
use super::fault::Action;
use super::operation::{Operation, Service};
use super::session::Caller;
use super::shared::Shared;
use super::site::Site;
use super::wire::{ErrorCode, Failure, Form, document};

/// Accepts and serves until it is dropped, and all its connections with it.
pub(super) async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
        };
        let Ok((stream, _)) = accepted else {
            // Out of descriptors, or a peer that hung up early: neither ends the service, and a pause keeps the former
            // from spinning.
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        // Small answers must not wait for Nagle: a bench would measure that.
        let _ = stream.set_nodelay(true);
        let shared = Arc::clone(&shared);
        connections.spawn(async move {
            let service = service_fn(move |request| answer(Arc::clone(&shared), request));
            // Errors are the point here: injected ones, and clients that give up.
            let _ = http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

/// Counts a request as being under way until it is answered or its client gives up.
struct InFlight {
    shared: Arc<Shared>,
    site: Arc<Site>,
}

impl InFlight {
    fn enter(shared: Arc<Shared>, site: Arc<Site>) -> Self {
        shared.traffic().enter();
        site.enter();
        Self { shared, site }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.site.leave();
        self.shared.traffic().leave();
    }
}

async fn answer(
    shared: Arc<Shared>,
    request: Request<Incoming>,
) -> Result<Response<AnswerBody>, io::Error> {
    let arrived = Instant::now();
    let caller = Caller::of(request.headers());
    // Credentials of an account that isn't there are told so in its own time, by the account of all the others.
    let known = shared.site_of(caller.as_ref());
    let site = known.clone().unwrap_or_else(|| Arc::clone(&shared.home));
    let in_flight = InFlight::enter(shared, Arc::clone(&site));
    let shared = &in_flight.shared;
    let target = request.headers().get("x-amz-target").cloned();
    let body = request
        .into_body()
        .collect()
        .await
        .map_err(io::Error::other)?
        .to_bytes();
    let (operation, form) = match read(target.as_ref(), &body) {
        Ok(read) => read,
        Err(failure) => {
            let service = target.map_or(Service::Iam, |_| Service::Organizations);
            return Ok(failed(&failure, service));
        }
    };
    let service = operation.service();
    let decision = shared.admit(&site, operation, &form);
    tokio::time::sleep_until(arrived + decision.delay).await;
    let authenticated = match (caller, known) {
        (None, _) => Err(Failure::of(ErrorCode::MissingAuthenticationToken)),
        (Some(_), None) => Err(Failure::of(ErrorCode::InvalidClientTokenId)),
        (Some(caller), Some(site)) => caller.authenticate(&site),
    };
    let caller = match authenticated {
        Ok(caller) => caller,
        Err(failure) => return Ok(failed(&failure, service)),
    };
    let proper = || match shared.answer(operation, &site, &caller, &form) {
        Ok(result) if service == Service::Organizations => json(StatusCode::OK, result),
        Ok(result) => xml(StatusCode::OK, document(operation, &result, REQUEST_ID)),
        Err(failure) => failed(&failure, service),
    };
    Ok(match decision.action {
        None | Some(Action::Delay(_)) => proper(),
        Some(Action::Error(code)) => failed(&injected(&caller, operation, code), service),
        Some(Action::Status(status)) => {
            let text = format!("<html><body><h1>{status}</h1></body></html>");
            respond(status_code(status), "text/html", text.into())
        }
        Some(Action::Hang) => std::future::pending().await,
        Some(Action::Close) => return Err(io::Error::other("closed on purpose")),
        Some(Action::HalfBody) => proper().map(AnswerBody::cut_in_half),
        Some(Action::TruncatedXml) => proper().map(AnswerBody::halved),
        Some(Action::BadXml) => {
            let text = format!("<{0}Response><{0}Result></{0}Response>\n", operation.name());
            xml(StatusCode::OK, text)
        }
        Some(Action::Html) => respond(
            StatusCode::OK,
            "text/html",
            "<!DOCTYPE html><html><head><title>Sign in</title></head><body><br>Sign in</body></html>".into(),
        ),
        Some(Action::Answer {
            status,
            content_type,
            body,
        }) => respond(status_code(status), content_type, body.into()),
    })
}

/// What is asked, in either protocol.
fn read(target: Option<&HeaderValue>, body: &[u8]) -> Result<(Operation, Form), Failure> {
    let Some(target) = target else {
        let form = Form::parse(body);
        return Ok((Operation::from_form(&form)?, form));
    };
    let operation = Operation::from_target(target.to_str().unwrap_or_default())?;
    Ok((operation, Form::from_json(body)?))
}

/// Any will do: nothing is looked up by it.
const REQUEST_ID: &str = "7a62c49f-347e-4fc4-9331-6e8eEXAMPLE";

fn injected(caller: &str, operation: Operation, code: ErrorCode) -> Failure {
    if code == ErrorCode::AccessDenied {
        let message = format!(
            "User: {caller} is not authorized to perform: {}:{} because no identity-based policy allows the {0}:{1} \
             action",
            operation.service().name(),
            operation.name(),
        );
        return Failure::new(code, message);
    }
    Failure::of(code)
}

fn failed(failure: &Failure, service: Service) -> Response<AnswerBody> {
    if service == Service::Organizations {
        let (status, body) = failure.json();
        return json(status, body);
    }
    xml(failure.code.status(), failure.document(service, REQUEST_ID))
}

fn json(status: StatusCode, body: String) -> Response<AnswerBody> {
    with_request_id(respond(status, "application/x-amz-json-1.1", body.into()))
}

fn xml(status: StatusCode, document: String) -> Response<AnswerBody> {
    with_request_id(respond(status, "text/xml", document.into()))
}

fn with_request_id(mut response: Response<AnswerBody>) -> Response<AnswerBody> {
    response
        .headers_mut()
        .insert("x-amzn-requestid", HeaderValue::from_static(REQUEST_ID));
    response
}

fn respond(status: StatusCode, content_type: &'static str, body: Bytes) -> Response<AnswerBody> {
    let mut response = Response::new(AnswerBody::whole(body));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

fn status_code(status: u16) -> StatusCode {
    StatusCode::from_u16(status).expect("a test gives a status between 100 and 999")
}
