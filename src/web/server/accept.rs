//! Accepting connections from several listeners, and what to do when that fails.

use std::future::poll_fn;
use std::io;
use std::task::Poll;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep_until};

/// Takes connections from several listeners in turn.
pub(super) struct Acceptor {
    listeners: Vec<TcpListener>,
    /// The listener to ask first, so that a busy one doesn't starve the others.
    first: usize,
    trouble: Trouble,
}

impl Acceptor {
    pub(super) fn new(listeners: Vec<TcpListener>) -> Self {
        Self {
            listeners,
            first: 0,
            trouble: Trouble::default(),
        }
    }

    /// The next connection; none if there can't be one now, in which case the next call waits first. Dropping the
    /// future loses no connection.
    pub(super) async fn accept(&mut self) -> Option<TcpStream> {
        if let Some(resume) = self.trouble.paused_until {
            sleep_until(resume).await;
            self.trouble.paused_until = None;
        }
        match self.accept_one().await {
            Ok(stream) => {
                self.trouble.end();
                Some(stream)
            }
            Err(error) => {
                self.trouble.note(&error);
                None
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
        assert!(acceptor.accept().await.is_some());
        assert!(paused.elapsed() >= Trouble::FIRST_PAUSE);
        assert!(acceptor.trouble.pause.is_none());
    }
}
