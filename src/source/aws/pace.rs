//! How calls of many accounts share one process: how fast, how many at once, and whose turn it is.
//!
//! Each attempt of a call waits for three things: a turn, while its account doesn't answer; its
//! account's next slot in time; and one of the permits that all accounts share. The permits are given
//! out in the order of asking, and an account can ask for no more than its own concurrency at once,
//! so that one with thousands of users is one in the queue among others. An attempt that isn't
//! answered within [`PROMPT`] gives its permit back: an account that hangs costs the others that much
//! time, once, and from then on its account tries one call at a time until an answer comes.
//!
//! It is attempts that wait, not calls: what pauses between two attempts holds nothing.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::future::{Either, select};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit},
    time::{Instant, sleep_until, timeout, timeout_at},
};

/// How long an attempt may hold one of the permits that all accounts share. IAM answers within a part
/// of that.
const PROMPT: Duration = Duration::from_millis(500);

/// Attempts that may go on without a permit, for each one that all accounts share. More than that
/// are no account that hangs but a network that does.
const SLOW_FOR_EACH: usize = 4;

/// Accounts that are read at once, for each attempt that all accounts share. One account hardly ever
/// has more than one under way at the pace it may go, and each that is being read takes memory.
const PLACES_FOR_EACH: usize = 2;

/// Calls that an account may make at once after it made none for a while, as a part of those that it
/// may make in a second.
const BURST: f64 = 0.5;

/// What the calls of all accounts share.
#[derive(Debug)]
pub(super) struct Gate {
    /// For attempts that are about to be answered.
    prompt: Semaphore,
    /// For those that took longer than that.
    slow: Semaphore,
    /// For accounts that are being read.
    places: Arc<Semaphore>,
}

impl Gate {
    /// Lets `most` attempts through at once.
    pub(super) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self {
            prompt: Semaphore::new(most),
            slow: Semaphore::new(most * SLOW_FOR_EACH),
            places: Arc::new(Semaphore::new(most * PLACES_FOR_EACH)),
        })
    }
}

/// How much one account may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Calls under way at once.
    pub at_once: usize,
    /// Attempts a second; as many as there may be at once if `None`.
    pub per_second: Option<u16>,
}

/// The calls of one account.
#[derive(Debug)]
pub(super) struct Lane {
    gate: Arc<Gate>,
    pace: Pace,
    calls: Semaphore,
    /// Whether the last that was heard of the account is silence.
    is_silent: AtomicBool,
    /// The turn of the one attempt that is made then.
    turn: Semaphore,
    slots: Option<Slots>,
    /// That among the accounts that are being read, unless it was given back.
    place: Mutex<Option<OwnedSemaphorePermit>>,
}

/// An account's place among those that are being read, for as long as this lives or until the account
/// falls silent.
#[derive(Debug)]
pub(super) struct Place(Arc<Lane>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.set_place(None);
    }
}

impl Lane {
    /// A lane to the gate.
    pub(super) fn new(gate: Arc<Gate>, pace: Pace) -> Arc<Self> {
        Arc::new(Self {
            gate,
            pace,
            calls: Semaphore::new(pace.at_once),
            is_silent: AtomicBool::new(false),
            turn: Semaphore::new(1),
            slots: pace.per_second.map(Slots::new),
            place: Mutex::new(None),
        })
    }

    /// Begins to read the account once there is a place for it, or at `deadline` without one.
    pub(super) async fn enter(self: &Arc<Self>, deadline: Instant) -> Place {
        let places = Arc::clone(&self.gate.places);
        let place = timeout_at(deadline, places.acquire_owned()).await;
        self.set_place(place.ok().and_then(Result::ok));
        Place(Arc::clone(self))
    }

    fn set_place(&self, place: Option<OwnedSemaphorePermit>) {
        *self.place.lock().unwrap_or_else(PoisonError::into_inner) = place;
    }

    /// Calls that may be under way at once.
    pub(super) fn at_once(&self) -> usize {
        self.pace.at_once
    }

    /// Makes one call of several attempts, within the concurrency of the account. `None` if it took
    /// longer than `limit`, the time that its attempts waited for the gate not counted.
    pub(super) async fn call<T>(
        self: &Arc<Self>,
        limit: Duration,
        call: impl Future<Output = T>,
    ) -> Option<T> {
        let _permit = permit(&self.calls).await;
        let waiting = Arc::new(Waiting::default());
        let pass = Pass {
            lane: Arc::clone(self),
            waiting: Arc::clone(&waiting),
        };
        let mut call = std::pin::pin!(PASS.scope(pass, call));
        let end = Instant::now() + limit;
        loop {
            match timeout_at(end + waiting.so_far(), &mut call).await {
                Ok(answer) => return Some(answer),
                Err(_) if Instant::now() < end + waiting.so_far() => {}
                Err(_) => return None,
            }
        }
    }

    /// Makes one attempt as soon as it is its turn.
    async fn attempt<T>(
        &self,
        waiting: &Waiting,
        attempt: impl Future<Output = T>,
        is_answer: impl Fn(&T) -> bool,
    ) -> T {
        let (_turn, permit) = waiting.during(self.admit()).await;
        let mut attempt = std::pin::pin!(attempt);
        let answer = if let Ok(answer) = timeout(PROMPT, &mut attempt).await {
            answer
        } else {
            self.is_silent.store(true, Ordering::Relaxed);
            self.set_place(None);
            let slow = std::pin::pin!(self::permit(&self.gate.slow));
            match select(attempt, slow).await {
                Either::Left((answer, _)) => answer,
                Either::Right((_slow, attempt)) => {
                    drop(permit);
                    attempt.await
                }
            }
        };
        if is_answer(&answer) {
            self.is_silent.store(false, Ordering::Relaxed);
        }
        answer
    }

    async fn admit(&self) -> (Option<SemaphorePermit<'_>>, SemaphorePermit<'_>) {
        let mut turn = None;
        if self.is_silent() {
            turn = Some(permit(&self.turn).await);
            // Whoever had the turn before was answered.
            if !self.is_silent() {
                turn = None;
            }
        }
        if let Some(slots) = &self.slots {
            sleep_until(slots.next(Instant::now())).await;
        }
        (turn, permit(&self.gate.prompt).await)
    }

    fn is_silent(&self) -> bool {
        self.is_silent.load(Ordering::Relaxed)
    }
}

async fn permit(semaphore: &Semaphore) -> SemaphorePermit<'_> {
    semaphore
        .acquire()
        .await
        .expect("the semaphore is never closed")
}

tokio::task_local! {
    /// The call that is being made, for the HTTP client underneath.
    static PASS: Pass;
}

/// Lets the attempts of a call through the gate.
#[derive(Debug, Clone)]
pub(super) struct Pass {
    lane: Arc<Lane>,
    waiting: Arc<Waiting>,
}

impl Pass {
    /// That of the call that is being made; `None` outside of one.
    pub(super) fn current() -> Option<Self> {
        PASS.try_with(Self::clone).ok()
    }

    /// Makes one attempt as soon as it is its turn. `is_answer` tells an answer from silence.
    pub(super) async fn attempt<T>(
        &self,
        attempt: impl Future<Output = T>,
        is_answer: impl Fn(&T) -> bool,
    ) -> T {
        self.lane.attempt(&self.waiting, attempt, is_answer).await
    }
}

/// How long the attempts of a call have waited for the gate.
#[derive(Debug, Default)]
struct Waiting(Mutex<(Duration, Option<Instant>)>);

impl Waiting {
    fn so_far(&self) -> Duration {
        let (before, since) = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        before + since.map_or(Duration::ZERO, |since| since.elapsed())
    }

    async fn during<T>(&self, wait: impl Future<Output = T>) -> T {
        self.set(|(_, since)| *since = Some(Instant::now()));
        let waited = wait.await;
        self.set(|(before, since)| {
            *before += since.take().map_or(Duration::ZERO, |since| since.elapsed());
        });
        waited
    }

    fn set(&self, change: impl FnOnce(&mut (Duration, Option<Instant>))) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// Slots in time, so many a second, of which some may be taken at once.
///
/// This is the generic cell rate algorithm: a slot is taken when it is asked for, so the order of
/// asking is the order of going. Source: ITU-T I.371, annex A.
#[derive(Debug)]
struct Slots {
    apart: Duration,
    ahead: Duration,
    /// When the next slot would be if there were no burst.
    due: Mutex<Option<Instant>>,
}

impl Slots {
    fn new(per_second: u16) -> Self {
        let per_second = f64::from(per_second.max(1));
        let apart = Duration::from_secs_f64(1.0 / per_second);
        let burst = (per_second * BURST).max(1.0);
        Self {
            apart,
            ahead: apart.mul_f64(burst - 1.0),
            due: Mutex::new(None),
        }
    }

    /// Takes the next slot; it may be in the past.
    fn next(&self, now: Instant) -> Instant {
        let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        let slot = due.map_or(now, |due| due.max(now));
        *due = Some(slot + self.apart);
        slot.checked_sub(self.ahead).unwrap_or(now).max(now)
    }
}

#[cfg(test)]
mod tests;
