//! The HTTP side: connections, requests, and answers that may be broken on purpose.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http_body_util::BodyExt as _;
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::Shared;
use super::fault::Action;
use super::operation::{Operation, Service};
use super::traffic::Call;
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
struct InFlight(Arc<Shared>);

impl InFlight {
    fn enter(shared: Arc<Shared>) -> Self {
        shared.traffic().enter();
        Self(shared)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.traffic().leave();
    }
}

async fn answer(
    shared: Arc<Shared>,
    request: Request<Incoming>,
) -> Result<Response<AnswerBody>, io::Error> {
    let arrived = Instant::now();
    let in_flight = InFlight::enter(shared);
    let signed = request.headers().contains_key(AUTHORIZATION);
    let body = request
        .into_body()
        .collect()
        .await
        .map_err(io::Error::other)?
        .to_bytes();
    let form = Form::parse(&body);
    let operation = match Operation::from_form(&form) {
        Ok(operation) => operation,
        Err(failure) => return Ok(failed(&failure, Service::Iam)),
    };
    let decision = in_flight.0.traffic().admit(Call::new(operation, &form));
    tokio::time::sleep_until(arrived + decision.delay).await;
    if !signed {
        let failure = Failure::of(ErrorCode::MissingAuthenticationToken);
        return Ok(failed(&failure, operation.service()));
    }
    let proper = || match operation.answer(&mut in_flight.0.account(), &form) {
        Ok(result) => xml(StatusCode::OK, document(operation, &result, REQUEST_ID)),
        Err(failure) => failed(&failure, operation.service()),
    };
    Ok(match decision.action {
        None | Some(Action::Delay(_)) => proper(),
        Some(Action::Error(code)) => failed(&injected(&in_flight.0, operation, code), operation.service()),
        Some(Action::Status(status)) => {
            let text = format!("<html><body><h1>{status}</h1></body></html>");
            respond(status_code(status), "text/html", text.into())
        }
        Some(Action::Hang) => std::future::pending().await,
        Some(Action::Close) => return Err(io::Error::other("closed on purpose")),
        Some(Action::HalfBody) => proper().map(AnswerBody::cut_in_half),
        Some(Action::TruncatedXml) => halve(proper()),
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

/// Any will do: nothing is looked up by it.
const REQUEST_ID: &str = "7a62c49f-347e-4fc4-9331-6e8eEXAMPLE";

fn injected(shared: &Shared, operation: Operation, code: ErrorCode) -> Failure {
    if code == ErrorCode::AccessDenied {
        let message = format!(
            "User: {} is not authorized to perform: {}:{} because no identity-based policy allows the {1}:{2} action",
            shared.account().caller_arn(),
            operation.service().name(),
            operation.name(),
        );
        return Failure::new(code, message);
    }
    Failure::of(code)
}

fn failed(failure: &Failure, service: Service) -> Response<AnswerBody> {
    xml(failure.code.status(), failure.document(service, REQUEST_ID))
}

fn xml(status: StatusCode, document: String) -> Response<AnswerBody> {
    let mut response = respond(status, "text/xml", document.into());
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

fn halve(response: Response<AnswerBody>) -> Response<AnswerBody> {
    response.map(|body| {
        let half = body.bytes.len() / 2;
        AnswerBody::whole(body.bytes.slice(..half))
    })
}

fn status_code(status: u16) -> StatusCode {
    StatusCode::from_u16(status).expect("a test gives a status between 100 and 999")
}

/// A body that is sent whole, or breaks off half-way.
struct AnswerBody {
    bytes: Bytes,
    length: u64,
    next: Step,
}

#[derive(Clone, Copy)]
enum Step {
    Whole,
    Half,
    Flush,
    Break,
    Done,
}

impl AnswerBody {
    fn whole(bytes: Bytes) -> Self {
        Self {
            length: bytes.len() as u64,
            bytes,
            next: Step::Whole,
        }
    }

    fn cut_in_half(self) -> Self {
        Self {
            next: Step::Half,
            ..self
        }
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        match self.next {
            Step::Whole => {
                self.next = Step::Done;
                Poll::Ready(Some(Ok(Frame::data(self.bytes.clone()))))
            }
            Step::Half => {
                self.next = Step::Flush;
                let half = self.bytes.len() / 2;
                Poll::Ready(Some(Ok(Frame::data(self.bytes.slice(..half)))))
            }
            // hyper writes out what it has when a body has nothing ready, and drops it when a body fails.
            Step::Flush => {
                self.next = Step::Break;
                context.waker().wake_by_ref();
                Poll::Pending
            }
            Step::Break => {
                self.next = Step::Done;
                Poll::Ready(Some(Err(io::Error::other("cut off on purpose"))))
            }
            Step::Done => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.next, Step::Done)
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.length)
    }
}
