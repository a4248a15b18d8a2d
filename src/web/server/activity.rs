//! What goes on on a connection, for whoever must end it.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::{Body, Frame, SizeHint};
use tokio::time::Instant;

/// The requests under way on one connection. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Activity(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    /// The oldest first.
    requests: BTreeMap<u64, Request>,
    next: u64,
    idle_since: Instant,
}

#[derive(Debug)]
struct Request {
    began: Instant,
    /// Since when it has waited for something that others wait for too.
    waits_since: Option<Instant>,
}

impl Activity {
    /// Nothing goes on yet.
    pub(super) fn new(now: Instant) -> Self {
        Self(Arc::new(Mutex::new(State {
            requests: BTreeMap::new(),
            next: 0,
            idle_since: now,
        })))
    }

    /// Notes a request, which is under way until what is returned is dropped.
    pub(super) fn begin(&self) -> UnderWay {
        self.with(|state| {
            let number = state.next;
            state.next += 1;
            let request = Request {
                began: Instant::now(),
                waits_since: None,
            };
            state.requests.insert(number, request);
            UnderWay {
                activity: self.clone(),
                number,
            }
        })
    }

    /// Since when there has been no request but such as wait, unless there is one.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        self.with(|state| {
            let waits: Option<Vec<_>> = state.requests.values().map(|r| r.waits_since).collect();
            let first = waits?.into_iter().min();
            Some(first.map_or(state.idle_since, |first| first.max(state.idle_since)))
        })
    }

    /// When the oldest request under way has taken too long; without one, when the connection has been idle
    /// for too long.
    pub(super) fn due(&self, for_response: Duration, idle: Duration) -> Instant {
        self.with(|state| match state.requests.values().next() {
            Some(request) => request.began + for_response,
            None => state.idle_since + idle,
        })
    }

    fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A request under way.
#[derive(Debug)]
pub(super) struct UnderWay {
    activity: Activity,
    number: u64,
}

impl UnderWay {
    /// For the request itself, to tell when it waits.
    pub(super) fn waits(&self) -> Waits {
        Waits {
            activity: self.activity.clone(),
            number: self.number,
        }
    }
}

/// Tells of a request that it waits, so that it doesn't keep its connection from giving way to others.
#[derive(Clone, Debug)]
pub(super) struct Waits {
    activity: Activity,
    number: u64,
}

impl Waits {
    /// Waits for `awaited`.
    pub(super) async fn during<T>(&self, awaited: impl Future<Output = T>) -> T {
        self.set(Some(Instant::now()));
        let result = awaited.await;
        self.set(None);
        result
    }

    fn set(&self, waits_since: Option<Instant>) {
        self.activity.with(|state| {
            if let Some(request) = state.requests.get_mut(&self.number) {
                request.waits_since = waits_since;
            }
        });
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.activity.with(|state| {
            state.requests.remove(&self.number);
            state.idle_since = Instant::now();
        });
    }
}

/// A body whose request is under way until it is sent or given up.
#[derive(Debug)]
pub(super) struct Tracked<B> {
    body: B,
    _request: UnderWay,
}

impl<B> Tracked<B> {
    pub(super) fn new(body: B, request: UnderWay) -> Self {
        Self {
            body,
            _request: request,
        }
    }
}

impl<B: Body + Unpin> Body for Tracked<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_idle_while_no_request_is_under_way() {
        let second = Duration::from_secs(1);
        let (response, idle) = (second * 10, second * 100);
        let start = Instant::now();
        let activity = Activity::new(start);
        assert_eq!(activity.idle_since(), Some(start));
        assert_eq!(activity.due(response, idle), start + idle);

        advance(second).await;
        let first = activity.begin();
        advance(second).await;
        let other = activity.begin();
        assert_eq!(activity.idle_since(), None);
        assert_eq!(activity.due(response, idle), start + second + response);

        drop(first);
        assert_eq!(activity.due(response, idle), start + second * 2 + response);
        let (waits, began) = (other.waits(), Instant::now());
        waits
            .during(async {
                assert_eq!(activity.idle_since(), Some(began));
                advance(second).await;
                assert_eq!(activity.idle_since(), Some(began));
                let third = activity.begin();
                assert_eq!(activity.idle_since(), None);
                drop(third);
                assert_eq!(activity.idle_since(), Some(began + second));
            })
            .await;
        assert_eq!(activity.idle_since(), None);
        drop(other);
        assert_eq!(activity.idle_since(), Some(start + second * 3));
    }
}
