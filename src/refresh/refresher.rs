//! The one writer of the snapshot: it drives the readers of all members at the same time.

use std::{pin::pin, sync::Arc, time::Duration};

use futures_util::{
    FutureExt as _, StreamExt as _,
    future::{AbortHandle, Abortable, Aborted, BoxFuture},
    stream::FuturesUnordered,
};
use tokio::{
    sync::{oneshot, watch},
    time::Instant,
};

use super::{
    Args,
    known::Known,
    members::Looking,
    publication::Publication,
    reading::collect,
    reconfigure::aim,
    said::Said,
    saving::Saving,
    timing::Timing,
    turns::{Key, Turns},
};
use crate::{
    clock::Clock,
    config::Config,
    counts::RefreshCounts,
    reason::Reason,
    snapshot::Snapshot,
    source::{Discovery, Outcome, Reader, Source},
    storage::{Aim, Storage},
};

/// Keeps the snapshot fresh, as the only writer.
///
/// Everything happens in the one task that runs it: an account that hangs holds up nothing but
/// itself, and no account costs a task.
#[derive(Debug)]
pub struct Refresher {
    /// `None` while it discovers.
    pub(super) source: Option<Source>,
    pub(super) configs: watch::Receiver<Arc<Config>>,
    /// The one in force.
    pub(super) config: Arc<Config>,
    /// What is read for.
    pub(super) aim: Arc<Aim>,
    pub(super) clock: Clock,
    pub(super) args: Args,
    pub(super) counts: Arc<RefreshCounts>,
    pub(super) snapshot: watch::Sender<Arc<Snapshot>>,
    pub(super) timing: Timing,
    pub(super) turns: Turns,
    pub(super) running: FuturesUnordered<Abortable<BoxFuture<'static, Done>>>,
    pub(super) discovery: Looking,
    pub(super) known: Known,
    /// Why the member whose account only reading tells of could not be read, if so.
    pub(super) unidentified: Option<Reason>,
    pub(super) said: Said,
    pub(super) publication: Publication,
    pub(super) saving: Saving,
}

/// What came to its end.
pub(super) enum Done {
    Discovery {
        source: Source,
        /// `None` if it was called off.
        found: Option<Discovery>,
    },
    Read {
        key: Key,
        reader: Reader,
        /// What it read for.
        aim: Arc<Aim>,
        outcomes: Vec<Outcome>,
        start: Instant,
    },
    Saved {
        storage: Storage,
        took: Duration,
        is_saved: bool,
    },
}

impl Refresher {
    /// A refresher that hasn't refreshed yet, by the configuration that `configs` holds, and by those
    /// that it will hold.
    pub fn new(
        source: Source,
        mut configs: watch::Receiver<Arc<Config>>,
        clock: Clock,
        args: Args,
        counts: Arc<RefreshCounts>,
        snapshot: watch::Sender<Arc<Snapshot>>,
    ) -> Self {
        let config = Arc::clone(&configs.borrow_and_update());
        let now = Instant::now();
        let timing = Timing::new(args.interval, now, clock.now());
        // It stands from the start: that a shard is missing must not depend on how the others fare.
        snapshot.send_if_modified(|before| {
            Arc::make_mut(before).scope.shard = source.shard();
            false
        });
        Self {
            source: Some(source),
            configs,
            aim: Arc::new(aim(&config)),
            config,
            clock,
            args,
            counts,
            snapshot,
            timing,
            turns: Turns::default(),
            running: FuturesUnordered::new(),
            discovery: Looking {
                due: Some(now),
                retries: timing.retries(),
                succeeded: false,
                last_success: None,
                tried: false,
                trouble: None,
                call_off: None,
            },
            known: Known::default(),
            unidentified: None,
            said: Said::default(),
            publication: Publication::default(),
            saving: Saving::default(),
        }
    }

    /// Refreshes at once and then again and again, until it is told to stop. Then it saves what has to
    /// be saved, within a few seconds. Dropping the future ends it, at any point.
    pub async fn run(mut self, stop: impl Future<Output = ()>) {
        let mut stop = pin!(stop);
        loop {
            self.start_what_is_due();
            let wake = self.wake();
            tokio::select! {
                () = &mut stop => break,
                Ok(()) = self.configs.changed() => self.reconfigure(),
                Some(done) = self.running.next() => self.finish(done),
                () = sleep_until(wake) => {}
            }
            let now = Instant::now();
            self.said.sum_up(now);
            if self.publication.due.is_some_and(|due| due <= now) {
                self.publish(now);
            }
            self.save_if_due(now);
        }
        self.save_at_the_end().await;
    }

    /// Discovers and refreshes everything once, now, and publishes what is known then. Returns whether
    /// everything was read.
    pub async fn refresh(&mut self) -> bool {
        if self.configs.has_changed().unwrap_or(false) {
            self.reconfigure();
        }
        let now = Instant::now();
        self.discovery.due = Some(now);
        self.turns.all_due(now);
        self.start_what_is_due();
        while let Some(done) = self.running.next().await {
            self.finish(done);
            self.start_what_is_due();
        }
        self.publish(Instant::now());
        self.said.sum_up(Instant::now());
        self.unidentified().is_none() && self.known.are_up()
    }

    /// When there is something to do though nothing came to its end.
    fn wake(&self) -> Option<Instant> {
        let discovery = self.source.is_some().then_some(self.discovery.due);
        [
            discovery.flatten(),
            self.turns.due(),
            self.publication.due,
            self.said.due(),
            self.saving.due(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Drives something that can't be stopped.
    pub(super) fn start(&mut self, work: impl Future<Output = Done> + Send + 'static) {
        let (_, never) = AbortHandle::new_pair();
        self.running.push(Abortable::new(work.boxed(), never));
    }

    fn start_what_is_due(&mut self) {
        let start = Instant::now();
        let deadline = start + self.args.timeout;
        if self.discovery.due.is_some_and(|due| due <= start)
            && let Some(mut source) = self.source.take()
        {
            self.discovery.due = None;
            let now = self.clock.now();
            let (call_off, called_off) = oneshot::channel::<()>();
            self.discovery.call_off = Some(call_off);
            source.reconfigure(&self.config.accounts, &self.config.policy, &self.aim.tags);
            let discover = async move {
                let found = tokio::select! {
                    found = source.discover(now, deadline) => Some(found),
                    Ok(()) = called_off => None,
                };
                Done::Discovery { source, found }
            };
            self.start(discover);
        }
        loop {
            let (stop, stopped) = AbortHandle::new_pair();
            let Some((key, mut reader)) = self.turns.take_due(start, stop) else {
                break;
            };
            reader.reconfigure(&self.config.policy, &self.aim.tags);
            let now = self.clock.now();
            let aim = Arc::clone(&self.aim);
            let read = async move {
                let outcomes = collect(&mut reader, now, deadline).await;
                Done::Read {
                    key,
                    reader,
                    aim,
                    outcomes,
                    start,
                }
            };
            self.running.push(Abortable::new(read.boxed(), stopped));
        }
    }

    pub(super) fn finish(&mut self, done: Result<Done, Aborted>) {
        match done {
            // Of a member that is gone, or is read in another way now.
            Err(Aborted) => {}
            Ok(Done::Discovery { source, found }) => self.discovered(source, found),
            Ok(Done::Saved {
                storage,
                took,
                is_saved,
            }) => self.saved(storage, took, is_saved),
            Ok(Done::Read {
                key,
                reader,
                aim,
                outcomes,
                start,
            }) => {
                let end = Instant::now();
                let complete = self.learn(key, outcomes, &aim, end);
                let Some(turn) = self.turns.get_mut(key) else {
                    return;
                };
                turn.tried = true;
                if self.saving.is_wanted() {
                    turn.remembered = reader.remembered();
                }
                let due = if complete {
                    turn.retries = self.timing.retries();
                    self.timing.after_success(key, start, end)
                } else {
                    self.timing.after_failure(&mut turn.retries, end)
                };
                self.turns.hand_back(key, reader, due, end);
                self.publish_soon();
                self.saving.soon(end);
            }
        }
    }
}

async fn sleep_until(instant: Option<Instant>) {
    match instant {
        Some(instant) => tokio::time::sleep_until(instant).await,
        None => std::future::pending().await,
    }
}
