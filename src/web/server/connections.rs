//! The open connections, and which of them has to go for another one.

use std::collections::HashMap;

use hyper::body::Incoming;
use hyper::{Request, Response};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::{AbortHandle, Id, JoinError, JoinSet};
use tokio::time::{Instant, sleep_until, timeout};

use super::activity::Activity;
use super::connection::{self, Terms};
use super::limits::Limits;
use crate::web::body::ResponseBody;
use crate::web::live::Live;

/// The open connections, each a task that ends with them.
pub(super) struct Connections {
    tasks: JoinSet<()>,
    open: HashMap<Id, (AbortHandle, Activity)>,
    stop: watch::Sender<bool>,
    limits: Limits,
    tls: Option<Live>,
}

impl Connections {
    pub(super) fn new(limits: Limits, tls: Option<Live>) -> Self {
        Self {
            tasks: JoinSet::new(),
            open: HashMap::new(),
            stop: watch::Sender::new(false),
            limits,
            tls,
        }
    }

    pub(super) fn has_room(&self) -> bool {
        self.open.len() < self.limits.connections
    }

    pub(super) fn serve<H, R>(&mut self, stream: TcpStream, handler: H)
    where
        H: Fn(Request<Incoming>) -> R + Send + Sync + 'static,
        R: Future<Output = Response<ResponseBody>> + Send + 'static,
    {
        let activity = Activity::new(Instant::now());
        let terms = Terms {
            limits: self.limits,
            tls: self.tls.clone(),
            stop: self.stop.subscribe(),
            activity: activity.clone(),
        };
        let task = self.tasks.spawn(connection::serve(stream, handler, terms));
        self.open.insert(task.id(), (task, activity));
        if !self.has_room() {
            let connections = self.limits.connections;
            tracing::debug!(connections, "all connections are taken; newcomers wait");
        }
    }

    /// Returns once a connection has ended. While all are taken, the one that has been without a request
    /// for longest is cut off as soon as that is long enough: whoever opens connections and says
    /// nothing must not keep others out.
    pub(super) async fn make_room(&mut self) {
        loop {
            let look_again = self.cut_if_full();
            tokio::select! {
                ended = next_ended(&mut self.tasks) => {
                    self.open.remove(&ended);
                    return;
                }
                () = at(look_again) => {}
            }
        }
    }

    /// Cuts off a connection if one has to go, and tells when to look again.
    fn cut_if_full(&self) -> Option<Instant> {
        if self.has_room() {
            return None;
        }
        let now = Instant::now();
        let again = now + self.limits.grace;
        match self.idlest() {
            Some((due, _)) if due > now => Some(due),
            Some((_, task)) => {
                cut(task);
                Some(again)
            }
            None => Some(again),
        }
    }

    /// Cuts off all connections that have been without a request for long enough. One at a time would let
    /// in one newcomer for each pause of the acceptor.
    pub(super) fn cut_idle(&self) {
        let now = Instant::now();
        for (_, task) in self.idle().filter(|(due, _)| *due <= now) {
            cut(task);
        }
    }

    /// The connection that has been without a request for longest, and when it may be cut off for that.
    fn idlest(&self) -> Option<(Instant, &AbortHandle)> {
        self.idle().min_by_key(|(due, _)| *due)
    }

    /// The connections without a request, and when each may be cut off for that.
    fn idle(&self) -> impl Iterator<Item = (Instant, &AbortHandle)> {
        self.open.values().filter_map(|(task, activity)| {
            let since = activity.idle_since()?;
            Some((since + self.limits.grace, task))
        })
    }

    pub(super) async fn drain(self) {
        let Self {
            mut tasks,
            stop,
            limits,
            ..
        } = self;
        stop.send_replace(true);
        let drained = timeout(limits.drain, async {
            while let Some(ended) = tasks.join_next_with_id().await {
                report(ended);
            }
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

fn cut(connection: &AbortHandle) {
    tracing::debug!("an idle connection was cut off, for others wait");
    connection.abort();
}

/// Waits for the end of a task; forever, if there is none.
async fn next_ended(tasks: &mut JoinSet<()>) -> Id {
    match tasks.join_next_with_id().await {
        Some(ended) => report(ended),
        None => std::future::pending().await,
    }
}

async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}

/// A panic in one connection is a bug to hear of, but the others go on.
fn report(ended: Result<(Id, ()), JoinError>) -> Id {
    match ended {
        Ok((id, ())) => id,
        Err(error) => {
            if error.is_panic() {
                tracing::error!(%error, "a connection's task panicked");
            }
            error.id()
        }
    }
}
