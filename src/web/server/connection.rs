//! One connection, from its first byte to its last.

use std::convert::Infallible;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper::body::{Body as _, Incoming};
use hyper::header::{CONNECTION, HeaderValue};
use hyper::rt::Executor;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper::{Request, Response, Version};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulConnection;
use tokio::net::TcpStream;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_io_timeout::TimeoutStream;

use super::activity::{Activity, Tracked, Waits};
use super::handshake::{self, Protocol};
use super::limits::Limits;
use super::lingering::Lingering;
use crate::web::body::ResponseBody;
use crate::web::live::Live;

/// How long a connection that is to end may take for its farewell.
const FAREWELL: Duration = Duration::from_secs(1);

/// The HTTP/2 window for requests' bodies, which nobody reads.
const REQUEST_WINDOW: u32 = 16 * 1024;

/// How much of a response is buffered for each HTTP/2 stream, in bytes.
const SEND_BUFFER: usize = 64 * 1024;

/// Streams that an HTTP/2 client may reset before they are begun, and that may be reset for its mistakes.
/// Beyond that, it is after nothing but work (CVE-2023-44487, CVE-2025-8671).
const RESET_STREAMS: usize = 20;

/// What a request is told of its connection, among its extensions.
#[derive(Clone, Debug)]
pub(in crate::web) struct OnConnection {
    /// Who asks, if the system knows.
    pub(in crate::web) peer: Option<IpAddr>,
    waits: Waits,
}

impl OnConnection {
    /// Waits for `awaited`, for which the connection isn't kept if others want its place.
    pub(in crate::web) async fn giving_way<T>(&self, awaited: impl Future<Output = T>) -> T {
        self.waits.during(awaited).await
    }
}

/// Among a response's extensions, ends the connection after it.
#[derive(Clone, Copy, Debug)]
pub(in crate::web) struct LastResponse;

/// On what terms a connection is served.
pub(super) struct Terms {
    pub(super) limits: Limits,
    pub(super) tls: Option<Live>,
    /// Turns true when the connection should end.
    pub(super) stop: watch::Receiver<bool>,
    pub(super) activity: Activity,
}

/// Serves a connection to its end.
pub(super) async fn serve<H, R>(stream: TcpStream, handler: H, terms: Terms)
where
    H: Fn(Request<Incoming>) -> R + Send + Sync + 'static,
    R: Future<Output = Response<ResponseBody>> + Send + 'static,
{
    // The last, short segment of a body must not wait for an acknowledgement.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY could not be set");
    }
    let Terms {
        limits,
        tls,
        mut stop,
        activity,
    } = terms;
    let handler = Arc::new(handler);
    let peer = stream.peer_addr().ok().map(|address| address.ip());
    let Some(live) = tls else {
        let stream = patient(stream, limits);
        let requests = Requests::new(handler, activity.clone(), peer, None);
        return speak_http1(stream, requests, limits, stop, activity).await;
    };
    let handshake = timeout(
        limits.handshake_timeout,
        handshake::accept(stream, &live, limits),
    );
    let shaken = tokio::select! {
        shaken = handshake => shaken,
        () = told(&mut stop) => return,
    };
    let Ok(shaken) = shaken else {
        tracing::debug!("a TLS handshake took too long");
        return;
    };
    let Some((stream, protocol, generation)) = shaken else {
        return;
    };
    let requests = Requests::new(handler, activity.clone(), peer, Some((live, generation)));
    match protocol {
        Protocol::Http1 => speak_http1(stream, requests, limits, stop, activity).await,
        Protocol::Http2 => speak_http2(stream, requests, limits, stop, activity).await,
    }
}

/// A stream that gives up when nothing can be sent for too long.
pub(super) fn patient(
    stream: TcpStream,
    limits: Limits,
) -> std::pin::Pin<Box<TimeoutStream<TcpStream>>> {
    let mut stream = Box::pin(TimeoutStream::new(stream));
    stream
        .as_mut()
        .set_write_timeout_pinned(Some(limits.send_timeout));
    stream
}

async fn speak_http1<S, H, R>(
    stream: S,
    requests: Requests<H>,
    limits: Limits,
    stop: watch::Receiver<bool>,
    activity: Activity,
) where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    H: Fn(Request<Incoming>) -> R + Send + Sync + 'static,
    R: Future<Output = Response<ResponseBody>> + Send + 'static,
{
    let ends = requests.ends.clone();
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        .max_header_size(limits.header_bytes)
        // Whoever has asked may say so by closing one way, and wants an answer all the same.
        .half_close(true)
        .serve_connection(
            TokioIo::new(Lingering::new(stream)),
            service_fn(move |request| requests.clone().answer(request)),
        );
    see_through(connection, limits, stop, activity, &ends).await;
}

async fn speak_http2<S, H, R>(
    stream: S,
    requests: Requests<H>,
    limits: Limits,
    stop: watch::Receiver<bool>,
    activity: Activity,
) where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    H: Fn(Request<Incoming>) -> R + Send + Sync + 'static,
    R: Future<Output = Response<ResponseBody>> + Send + 'static,
{
    let ends = requests.ends.clone();
    let head = u32::try_from(limits.header_bytes).unwrap_or(u32::MAX);
    let connection = http2::Builder::new(Streams::default())
        .timer(TokioTimer::new())
        .max_header_list_size(head)
        .max_concurrent_streams(limits.streams)
        .max_pending_accept_reset_streams(RESET_STREAMS)
        .max_local_error_reset_streams(RESET_STREAMS)
        .initial_stream_window_size(REQUEST_WINDOW)
        .initial_connection_window_size(REQUEST_WINDOW)
        .max_send_buf_size(SEND_BUFFER)
        .serve_connection(
            TokioIo::new(Lingering::new(stream)),
            service_fn(move |request| requests.clone().answer(request)),
        );
    see_through(connection, limits, stop, activity, &ends).await;
}

/// Drives a connection to its end, or until it has to be cut off.
async fn see_through<C>(
    connection: C,
    limits: Limits,
    mut stop: watch::Receiver<bool>,
    activity: Activity,
    ends: &Ends,
) where
    C: GracefulConnection,
    C::Error: std::fmt::Display,
{
    let mut connection = pin!(connection);
    let mut is_ending = false;
    let ended = loop {
        tokio::select! {
            ended = connection.as_mut() => break Some(ended),
            () = told(&mut stop), if !is_ending => {
                connection.as_mut().graceful_shutdown();
                is_ending = true;
            }
            () = ends.retire.notified(), if !is_ending => {
                connection.as_mut().graceful_shutdown();
                is_ending = true;
            }
            () = ends.cut.notified() => break None,
            () = overdue(&activity, limits) => {
                connection.as_mut().graceful_shutdown();
                break timeout(FAREWELL, connection).await.ok();
            }
        }
    };
    match ended {
        Some(Ok(())) => {}
        Some(Err(error)) => tracing::debug!(%error, "a connection ended early"),
        None => tracing::debug!("a connection was cut off, for it took too long"),
    }
}

/// Waits until all connections should end.
async fn told(stop: &mut watch::Receiver<bool>) {
    // If whoever could tell is gone, it is over too.
    let _ = stop.wait_for(|stop| *stop).await;
}

/// Waits until the connection has been without a request, or busy with one, for too long.
async fn overdue(activity: &Activity, limits: Limits) {
    loop {
        let now = Instant::now();
        let due = activity.due(limits.response_timeout, limits.idle_timeout);
        if due <= now {
            return;
        }
        // The request may be answered, and the connection idle, long before.
        sleep_until(due.min(now + limits.idle_timeout)).await;
    }
}

/// Tells a connection to end, from within its requests.
#[derive(Clone, Debug, Default)]
struct Ends {
    /// After the requests under way, because the TLS settings have changed.
    retire: Arc<Notify>,
    /// At once, because others want the place of a scrape on it.
    cut: Arc<Notify>,
}

/// Answers the requests of one connection.
struct Requests<H> {
    handler: Arc<H>,
    activity: Activity,
    peer: Option<IpAddr>,
    /// The TLS settings of which generation the connection was made under.
    tls: Option<(Live, u64)>,
    ends: Ends,
}

impl<H> Clone for Requests<H> {
    fn clone(&self) -> Self {
        Self {
            handler: Arc::clone(&self.handler),
            activity: self.activity.clone(),
            peer: self.peer,
            tls: self.tls.clone(),
            ends: self.ends.clone(),
        }
    }
}

impl<H> Requests<H> {
    fn new(
        handler: Arc<H>,
        activity: Activity,
        peer: Option<IpAddr>,
        tls: Option<(Live, u64)>,
    ) -> Self {
        Self {
            handler,
            activity,
            peer,
            tls,
            ends: Ends::default(),
        }
    }

    async fn answer<R>(
        self,
        mut request: Request<Incoming>,
    ) -> Result<Response<Tracked<ResponseBody>>, Infallible>
    where
        H: Fn(Request<Incoming>) -> R,
        R: Future<Output = Response<ResponseBody>>,
    {
        let under_way = self.activity.begin();
        let version = request.version();
        // Nobody reads a body, and what comes after one that was skipped could be anything.
        let has_body = !request.body().is_end_stream();
        request.extensions_mut().insert(OnConnection {
            peer: self.peer,
            waits: under_way.waits(),
        });
        let mut response = (self.handler)(request).await;
        let is_last = self.is_outdated() || response.extensions().get::<LastResponse>().is_some();
        if version == Version::HTTP_2 {
            if is_last {
                self.ends.retire.notify_one();
            }
        } else if is_last || has_body {
            // HTTP/1.1 has no other way to say so that can't cross the next request.
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(CONNECTION, close);
        }
        response.body().may_be_cut_by(&self.ends.cut);
        Ok(response.map(|body| Tracked::new(body, under_way)))
    }

    fn is_outdated(&self) -> bool {
        self.tls
            .as_ref()
            .is_some_and(|(live, generation)| live.last().generation != *generation)
    }
}

/// Runs what HTTP/2 does for each stream, and stops it with the connection.
#[derive(Clone, Default)]
struct Streams(Arc<Mutex<JoinSet<()>>>);

impl<F> Executor<F> for Streams
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, stream: F) {
        let mut streams = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while streams.try_join_next().is_some() {}
        streams.spawn(stream);
    }
}
