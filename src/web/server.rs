//! Serving HTTP/1.1: configured, then bound, then running until told to stop.

use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_io_timeout::TimeoutStream;

use super::body::ResponseBody;
use super::listen::{BindError, ListenAddress};

/// What a client may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How long a request's head may take, and how long a connection may idle before it.
    pub header_timeout: Duration,
    /// How long a request's head may be, in bytes.
    pub header_bytes: usize,
    /// How long a client may take nothing of what it is sent; it holds a whole body meanwhile.
    pub send_timeout: Duration,
    /// How many connections may be open. More wait in the kernel.
    pub connections: usize,
    /// How long requests in flight may go on after the shutdown began.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // A little over 10 s, so that a scraper with that interval keeps its connection.
            header_timeout: Duration::from_secs(12),
            header_bytes: 16 * 1024,
            send_timeout: Duration::from_secs(30),
            connections: 1024,
            // The process promises to end within 5 s.
            drain: Duration::from_secs(4),
        }
    }
}

/// A server that listens and does not serve yet: clients wait in the kernel.
#[derive(Debug)]
pub struct Bound {
    listeners: Vec<TcpListener>,
    limits: Limits,
}

/// Listens on all the addresses.
///
/// # Errors
/// Fails if any one of them can't be had.
pub async fn bind(addresses: &[ListenAddress], limits: Limits) -> Result<Bound, BindError> {
    let mut listeners = Vec::new();
    for address in addresses {
        listeners.extend(address.bind().await?);
    }
    Ok(Bound { listeners, limits })
}

impl Bound {
    /// The addresses it listens on, with the ports that the system chose.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.listeners
            .iter()
            .filter_map(|listener| listener.local_addr().ok())
            .collect()
    }

    /// Answers requests with `handler` until `shutdown` is ready; then stops listening, closes idle
    /// connections, and returns once the requests in flight are answered, or the drain time is over.
    ///
    /// Dropping the future closes everything at once.
    pub async fn run<H, R>(self, handler: H, shutdown: impl Future<Output = ()>)
    where
        H: Fn(Request<Incoming>) -> R + Clone + Send + 'static,
        R: Future<Output = Response<ResponseBody>> + Send + 'static,
    {
        let Self { listeners, limits } = self;
        let mut acceptor = Acceptor::new(listeners);
        let mut connections = Connections::new(limits);
        let mut shutdown = pin!(shutdown);
        loop {
            tokio::select! {
                biased;
                () = &mut shutdown => break,
                Some(ended) = connections.tasks.join_next() => report(ended),
                stream = acceptor.accept(), if connections.has_room() => {
                    connections.serve(stream, handler.clone());
                }
            }
        }
        drop(acceptor);
        connections.drain().await;
    }
}

/// The open connections, each a task that ends with them.
struct Connections {
    tasks: JoinSet<()>,
    http: http1::Builder,
    graceful: GracefulShutdown,
    limits: Limits,
}

impl Connections {
    fn new(limits: Limits) -> Self {
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(limits.header_timeout)
            .max_header_size(limits.header_bytes);
        Self {
            tasks: JoinSet::new(),
            http,
            graceful: GracefulShutdown::new(),
            limits,
        }
    }

    fn has_room(&self) -> bool {
        self.tasks.len() < self.limits.connections
    }

    fn serve<H, R>(&mut self, stream: TcpStream, handler: H)
    where
        H: Fn(Request<Incoming>) -> R + Send + 'static,
        R: Future<Output = Response<ResponseBody>> + Send + 'static,
    {
        // The last, short segment of a body must not wait for an acknowledgement.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY could not be set");
        }
        let mut stream = Box::pin(TimeoutStream::new(stream));
        let send_timeout = Some(self.limits.send_timeout);
        stream.as_mut().set_write_timeout_pinned(send_timeout);
        let service = service_fn(move |request| {
            let response = handler(request);
            async move { Ok::<_, Infallible>(response.await) }
        });
        let connection = self.http.serve_connection(TokioIo::new(stream), service);
        let connection = self.graceful.watch(connection);
        self.tasks.spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection ended early");
            }
        });
        if !self.has_room() {
            let connections = self.limits.connections;
            tracing::debug!(connections, "all connections are taken; newcomers wait");
        }
    }

    async fn drain(self) {
        let Self {
            mut tasks,
            graceful,
            limits,
            ..
        } = self;
        let answered = async {
            while let Some(ended) = tasks.join_next().await {
                report(ended);
            }
        };
        let drained = timeout(limits.drain, async {
            tokio::join!(graceful.shutdown(), answered);
        });
        if drained.await.is_err() {
            tracing::warn!(
                connections = tasks.len(),
                "connections were cut off, for they did not end in time"
            );
            tasks.shutdown().await;
        }
    }
}

/// A panic in one connection is a bug to hear of, but the others go on.
fn report(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%error, "a connection's task panicked");
    }
}

/// Takes connections from several listeners in turn.
struct Acceptor {
    listeners: Vec<TcpListener>,
    /// The listener to ask first, so that a busy one doesn't starve the others.
    first: usize,
    trouble: Trouble,
}

impl Acceptor {
    fn new(listeners: Vec<TcpListener>) -> Self {
        Self {
            listeners,
            first: 0,
            trouble: Trouble::default(),
        }
    }

    /// The next connection. Dropping the future loses none.
    async fn accept(&mut self) -> TcpStream {
        loop {
            if let Some(resume) = self.trouble.paused_until {
                sleep_until(resume).await;
                self.trouble.paused_until = None;
            }
            match self.accept_one().await {
                Ok(stream) => {
                    self.trouble.end();
                    return stream;
                }
                Err(error) => self.trouble.note(&error),
            }
        }
    }

    async fn accept_one(&mut self) -> io::Result<TcpStream> {
        let Self {
            listeners, first, ..
        } = self;
        poll_fn(|cx| {
            for offset in 0..listeners.len() {
                let turn = (*first + offset) % listeners.len();
                if let Poll::Ready(accepted) = listeners[turn].poll_accept(cx) {
                    *first = turn + 1;
                    return Poll::Ready(accepted.map(|(stream, _)| stream));
                }
            }
            Poll::Pending
        })
        .await
    }
}

/// Failing accepts. When the process is out of file descriptors, the connection stays in the queue and
/// accept fails again at once, so only a pause keeps it from spinning.
#[derive(Debug, Default)]
struct Trouble {
    pause: Option<Duration>,
    paused_until: Option<Instant>,
    last_failure: Option<Instant>,
}

impl Trouble {
    const FIRST_PAUSE: Duration = Duration::from_millis(100);
    const LONGEST_PAUSE: Duration = Duration::from_secs(1);
    /// At the limit, accepts succeed and fail in turn: that is one episode, and worth one line.
    const QUIET: Duration = Duration::from_mins(1);

    fn note(&mut self, error: &io::Error) {
        // These concern a client that has gone away, not this process.
        if matches!(
            error.kind(),
            io::ErrorKind::ConnectionAborted
                | io::ErrorKind::ConnectionReset
                | io::ErrorKind::ConnectionRefused
                | io::ErrorKind::Interrupted
        ) {
            return;
        }
        let now = Instant::now();
        if self.begins_episode(now) {
            tracing::warn!(%error, "connections cannot be accepted; trying again");
        }
        let pause = self.pause.map_or(Self::FIRST_PAUSE, |pause| {
            (pause * 2).min(Self::LONGEST_PAUSE)
        });
        self.last_failure = Some(now);
        self.pause = Some(pause);
        self.paused_until = Some(now + pause);
    }

    fn begins_episode(&self, now: Instant) -> bool {
        self.last_failure
            .is_none_or(|last| now - last >= Self::QUIET)
    }

    fn end(&mut self) {
        self.pause = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn failing_accepts_pause_longer_each_time() {
        let mut trouble = Trouble::default();
        let mut pauses = Vec::new();
        for _ in 0..6 {
            trouble.note(&io::Error::other("too many open files"));
            pauses.push((trouble.paused_until.unwrap() - Instant::now()).as_millis());
        }
        assert_eq!(pauses, [100, 200, 400, 800, 1000, 1000]);
        trouble.end();
        trouble.note(&io::Error::other("too many open files"));
        assert_eq!(trouble.pause, Some(Trouble::FIRST_PAUSE));
    }

    #[tokio::test(start_paused = true)]
    async fn trouble_that_comes_and_goes_is_one_episode() {
        let mut trouble = Trouble::default();
        assert!(trouble.begins_episode(Instant::now()));
        for _ in 0..100 {
            trouble.note(&io::Error::other("too many open files"));
            trouble.end();
            tokio::time::advance(Duration::from_secs(59)).await;
            assert!(!trouble.begins_episode(Instant::now()));
        }
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(trouble.begins_episode(Instant::now()));
    }

    #[test]
    fn a_client_that_went_away_is_no_trouble() {
        let mut trouble = Trouble::default();
        trouble.note(&io::ErrorKind::ConnectionAborted.into());
        assert!(trouble.pause.is_none() && trouble.paused_until.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn accepting_resumes_after_the_pause() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut acceptor = Acceptor::new(vec![listener]);
        acceptor
            .trouble
            .note(&io::Error::other("too many open files"));
        let _client = TcpStream::connect(address).await.unwrap();
        let paused = Instant::now();
        acceptor.accept().await;
        assert!(paused.elapsed() >= Trouble::FIRST_PAUSE);
        assert!(acceptor.trouble.pause.is_none());
    }
}
