//! The one writer of the snapshot: it drives the readers of all members at the same time.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use backon::ExponentialBackoff;
use futures_util::{
    FutureExt as _, StreamExt as _,
    future::{AbortHandle, Abortable, Aborted, BoxFuture},
    stream::FuturesUnordered,
};
use tokio::{sync::watch, time::Instant};

use super::{
    Args,
    known::{Known, reasons},
    said::Said,
    timing::Timing,
    turns::{Key, Turns},
};
use crate::{
    clock::Clock,
    counts::RefreshCounts,
    key::AccountId,
    reason::Reason,
    snapshot::Snapshot,
    source::{Discovery, Outcome, Reader, Source},
};

/// How long a snapshot stands at least, so that a thousand accounts read within a second don't make
/// a thousand of them.
const SHORTEST_PUBLICATION: Duration = Duration::from_millis(100);

/// Keeps the snapshot fresh, as the only writer.
///
/// Everything happens in the one task that runs it: an account that hangs holds up nothing but
/// itself, and no account costs a task.
#[derive(Debug)]
pub struct Refresher {
    /// `None` while it discovers.
    source: Option<Source>,
    clock: Clock,
    args: Args,
    counts: Arc<RefreshCounts>,
    snapshot: watch::Sender<Arc<Snapshot>>,
    timing: Timing,
    turns: Turns,
    running: FuturesUnordered<Abortable<BoxFuture<'static, Done>>>,
    discovery: Looking,
    known: Known,
    /// Why the member whose account only reading tells of could not be read, if so.
    unidentified: Option<Reason>,
    said: Said,
    publication: Publication,
}

/// What came to its end.
enum Done {
    Discovery {
        source: Source,
        found: Discovery,
    },
    Read {
        key: Key,
        reader: Reader,
        outcomes: Vec<Outcome>,
        start: Instant,
    },
}

/// When to look for members, and what the last look gave.
#[derive(Debug)]
struct Looking {
    due: Option<Instant>,
    retries: ExponentialBackoff,
    /// Whether members were found without trouble once.
    succeeded: bool,
    /// Whether it was tried.
    tried: bool,
    trouble: Option<Reason>,
}

/// When the snapshot was published and is to be published again.
#[derive(Debug, Default)]
struct Publication {
    last: Option<Instant>,
    /// There is something to publish from this instant on.
    due: Option<Instant>,
}

impl Refresher {
    /// A refresher that hasn't refreshed yet.
    pub fn new(
        source: Source,
        clock: Clock,
        args: Args,
        counts: Arc<RefreshCounts>,
        snapshot: watch::Sender<Arc<Snapshot>>,
    ) -> Self {
        let now = Instant::now();
        let timing = Timing::new(args.interval, now, clock.now());
        Self {
            source: Some(source),
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
                tried: false,
                trouble: None,
            },
            known: Known::default(),
            unidentified: None,
            said: Said::default(),
            publication: Publication::default(),
        }
    }

    /// Refreshes at once and then for ever. Dropping the future ends it, at any point.
    pub async fn run(mut self) {
        loop {
            self.start_what_is_due();
            let wake = self.wake();
            tokio::select! {
                Some(done) = self.running.next(), if !self.running.is_empty() => self.finish(done),
                () = sleep_until(wake) => {}
            }
            let now = Instant::now();
            self.said.sum_up(now);
            if self.publication.due.is_some_and(|due| due <= now) {
                self.publish(now);
            }
        }
    }

    /// Discovers and refreshes everything once, now, and publishes what is known then. Returns whether
    /// everything was read.
    pub async fn refresh(&mut self) -> bool {
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
        ]
        .into_iter()
        .flatten()
        .min()
    }

    fn start_what_is_due(&mut self) {
        let start = Instant::now();
        let deadline = start + self.args.timeout;
        if self.discovery.due.is_some_and(|due| due <= start)
            && let Some(mut source) = self.source.take()
        {
            self.discovery.due = None;
            let now = self.clock.now();
            let discover = async move {
                let found = source.discover(now, deadline).await;
                Done::Discovery { source, found }
            };
            let (_, never) = AbortHandle::new_pair();
            self.running.push(Abortable::new(discover.boxed(), never));
        }
        loop {
            let (stop, stopped) = AbortHandle::new_pair();
            let Some((key, mut reader)) = self.turns.take_due(start, stop) else {
                break;
            };
            let now = self.clock.now();
            let read = async move {
                let outcomes = reader.collect(now, deadline).await;
                Done::Read {
                    key,
                    reader,
                    outcomes,
                    start,
                }
            };
            self.running.push(Abortable::new(read.boxed(), stopped));
        }
    }

    fn finish(&mut self, done: Result<Done, Aborted>) {
        match done {
            // Of a member that is gone, or is read in another way now.
            Err(Aborted) => {}
            Ok(Done::Discovery { source, found }) => self.discovered(source, found),
            Ok(Done::Read {
                key,
                reader,
                outcomes,
                start,
            }) => {
                let end = Instant::now();
                let complete = self.learn(key, outcomes, end);
                let Some(turn) = self.turns.get_mut(key) else {
                    return;
                };
                turn.tried = true;
                let due = if complete {
                    turn.retries = self.timing.retries();
                    self.timing.after_success(key, start, end)
                } else {
                    self.timing.after_failure(&mut turn.retries, end)
                };
                self.turns.hand_back(key, reader, due, end);
                self.publish_soon();
            }
        }
    }

    /// Takes in what a member's refresh found. Returns whether everything was read.
    fn learn(&mut self, key: Key, outcomes: Vec<Outcome>, end: Instant) -> bool {
        let now = self.clock.now();
        let policy = Arc::clone(&self.snapshot.borrow().policy);
        let mut complete = true;
        let mut accounts = BTreeSet::new();
        let mut unidentified = None;
        for outcome in outcomes {
            let account = key.or(outcome.account);
            let failures = reasons(&outcome.result);
            complete &= failures.is_empty();
            self.counts.count(account, &failures);
            self.said.say(account, &outcome, end);
            match account {
                None => unidentified = failures.first().copied(),
                Some(id) => {
                    accounts.insert(id);
                    self.known.learn(id, outcome, &policy, now);
                }
            }
        }
        if key.is_none() {
            self.unidentified = unidentified;
        }
        if unidentified.is_none()
            && let Some(turn) = self.turns.get_mut(key)
            && turn.accounts.as_ref() != Some(&accounts)
        {
            turn.accounts = Some(accounts);
            self.forget_who_is_gone();
        }
        complete
    }

    fn discovered(&mut self, mut source: Source, found: Discovery) {
        let Discovery {
            members,
            trouble,
            next,
        } = found;
        let now = Instant::now();
        self.said.say_discovery(trouble.as_ref());
        self.discovery.tried = true;
        let reason = trouble.as_ref().map(|error| error.reason);
        if std::mem::replace(&mut self.discovery.trouble, reason) != reason || members.is_empty() {
            self.publish_soon();
        }
        if let Some(error) = &trouble {
            self.counts.count(None, &[error.reason]);
            let retry = self.timing.after_failure(&mut self.discovery.retries, now);
            self.discovery.due = Some(next.map_or(retry, |next| next.min(retry)));
        } else {
            self.discovery.succeeded = true;
            self.discovery.retries = self.timing.retries();
            self.discovery.due = next;
        }

        let staying: BTreeSet<Key> = members.iter().map(|member| member.account).collect();
        let mut gone = 0_usize;
        for key in self.turns.keys() {
            if !staying.contains(&key) {
                self.turns.remove(key);
                gone += 1;
            }
        }
        let total = members.len();
        let mut new = 0_usize;
        for member in members {
            match self.turns.get_mut(member.account) {
                Some(turn) if turn.member.access == member.access => turn.member = member,
                known => {
                    new += usize::from(known.is_none());
                    let reader = source.reader(&member);
                    self.turns.add(member, reader, now, self.timing.retries());
                }
            }
        }
        self.source = Some(source);
        if (new, gone) != (0, 0) && staying.iter().any(Option::is_some) {
            tracing::info!(accounts = total, new, gone, "accounts discovered");
        }
        self.forget_who_is_gone();
    }

    /// Forgets every account that no member is, once that can be told.
    fn forget_who_is_gone(&mut self) {
        if !self.discovery.succeeded {
            return;
        }
        let mut kept: BTreeSet<AccountId> = BTreeSet::new();
        for turn in self.turns.iter() {
            match (turn.member.account, &turn.accounts) {
                (Some(id), _) => {
                    kept.insert(id);
                }
                (None, Some(accounts)) => kept.extend(accounts),
                // It may be any of those known from before.
                (None, None) => return,
            }
        }
        for id in self.known.keep_only(&kept) {
            self.said.forget(id);
            self.counts.forget(id);
            self.publish_soon();
        }
    }

    fn unidentified(&self) -> Option<Reason> {
        self.unidentified.or(self.discovery.trouble)
    }

    /// Publishes at the next occasion: at once if nothing was published just now.
    fn publish_soon(&mut self) {
        let now = Instant::now();
        let earliest = self
            .publication
            .last
            .map_or(now, |last| now.max(last + SHORTEST_PUBLICATION));
        self.publication.due.get_or_insert(earliest);
    }

    fn publish(&mut self, now: Instant) {
        self.publication = Publication {
            last: Some(now),
            due: None,
        };
        let before = self.snapshot.borrow().clone();
        let all_tried = self.discovery.tried && self.turns.iter().all(|turn| turn.tried);
        let next = Snapshot {
            accounts: self.known.states(),
            unidentified: self.unidentified(),
            // An account that is new doesn't make unready what was ready.
            tried: before.tried || all_tried,
            policy: Arc::clone(&before.policy),
            tags: Arc::clone(&before.tags),
            key_ids: before.key_ids,
            refresh_interval: before.refresh_interval,
        };
        self.snapshot.send_replace(Arc::new(next));
    }
}

async fn sleep_until(instant: Option<Instant>) {
    match instant {
        Some(instant) => tokio::time::sleep_until(instant).await,
        None => std::future::pending().await,
    }
}
