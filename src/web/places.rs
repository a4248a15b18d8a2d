//! The places for scrapes, and which scrape has to give way for another.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

/// So many scrapes may be under way. Cheap to clone.
///
/// While there is room, nobody is hurried. When all places are taken, the scrape whose client takes its time
/// gives way: whoever opens connections and reads nothing must not keep others out.
#[derive(Clone, Debug)]
pub(super) struct Places(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    most: usize,
    patience: Patience,
    held: Mutex<Held>,
}

/// How long a scrape keeps its place when others want it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// While its client takes nothing.
    pub(super) stalled: Duration,
    /// In all.
    pub(super) whole: Duration,
}

#[derive(Debug, Default)]
struct Held {
    next: u64,
    scrapes: BTreeMap<u64, Scrape>,
}

#[derive(Debug)]
struct Scrape {
    began: Instant,
    /// Since when it is the client's turn to take something, if it is.
    waits_since: Option<Instant>,
    /// Ends the connection; there is none until there is an answer.
    cut: Option<Arc<Notify>>,
}

impl Scrape {
    /// When it has to give way to another.
    fn due(&self, patience: Patience) -> Instant {
        let whole = self.began + patience.whole;
        let stalled = self.waits_since.map(|since| since + patience.stalled);
        stalled.map_or(whole, |stalled| stalled.min(whole))
    }
}

impl Places {
    pub(super) fn new(most: usize, patience: Patience) -> Self {
        Self(Arc::new(Inner {
            most,
            patience,
            held: Mutex::default(),
        }))
    }

    /// How many there are.
    pub(super) fn most(&self) -> usize {
        self.0.most
    }

    /// A place, if one is free or somebody has to give way.
    pub(super) fn take(&self) -> Option<Place> {
        self.with(|held| {
            let now = Instant::now();
            if held.scrapes.len() >= self.0.most && !held.cut_off_one(self.0.patience, now) {
                return None;
            }
            let number = held.next;
            held.next += 1;
            let scrape = Scrape {
                began: now,
                waits_since: None,
                cut: None,
            };
            held.scrapes.insert(number, scrape);
            Some(Place {
                places: self.clone(),
                number,
            })
        })
    }

    fn with<T>(&self, work: impl FnOnce(&mut Held) -> T) -> T {
        work(&mut self.0.held.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Held {
    /// Cuts off the scrape that is most overdue, and tells whether there was one.
    fn cut_off_one(&mut self, patience: Patience, now: Instant) -> bool {
        let due = self.scrapes.iter().filter_map(|(number, scrape)| {
            let cut = scrape.cut.as_ref()?;
            Some((scrape.due(patience), *number, cut))
        });
        let Some((_, number, cut)) = due
            .min_by_key(|(due, ..)| *due)
            .filter(|(due, ..)| *due <= now)
        else {
            return false;
        };
        cut.notify_one();
        self.scrapes.remove(&number);
        true
    }
}

/// A place among the scrapes under way, until it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    places: Places,
    number: u64,
}

impl Place {
    /// Lets `cut` know when the connection has to end.
    pub(super) fn may_be_cut_by(&self, cut: &Arc<Notify>) {
        self.change(|scrape| scrape.cut = Some(Arc::clone(cut)));
    }

    /// The client has something to take now, or has taken all there was.
    pub(super) fn waits_for_client(&self, waits: bool) {
        self.change(|scrape| scrape.waits_since = waits.then(Instant::now));
    }

    /// Whoever has given way already has nothing to change.
    fn change(&self, change: impl FnOnce(&mut Scrape)) {
        self.places.with(|held| {
            if let Some(scrape) = held.scrapes.get_mut(&self.number) {
                change(scrape);
            }
        });
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.with(|held| held.scrapes.remove(&self.number));
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use tokio::time::advance;

    use super::*;

    const STALLED: Duration = Duration::from_secs(2);
    const WHOLE: Duration = Duration::from_secs(10);
    const INSTANT: Duration = Duration::from_millis(1);
    /// Two instants less than what makes a client stall.
    const NEARLY: Duration = Duration::from_millis(1998);

    fn places(most: usize) -> Places {
        Places::new(
            most,
            Patience {
                stalled: STALLED,
                whole: WHOLE,
            },
        )
    }

    /// A scrape that is being answered, and what is told when it is cut off.
    fn answered(places: &Places) -> (Place, Arc<Notify>) {
        let place = places.take().expect("there is a place");
        let cut = Arc::default();
        place.may_be_cut_by(&cut);
        (place, cut)
    }

    fn is_cut(cut: &Notify) -> bool {
        cut.notified().now_or_never().is_some()
    }

    #[tokio::test(start_paused = true)]
    async fn a_place_is_free_again_when_its_scrape_ends() {
        let places = places(1);
        let (place, cut) = answered(&places);
        assert!(places.take().is_none());
        drop(place);
        assert!(places.take().is_some());
        assert!(!is_cut(&cut));
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_is_hurried_while_there_is_room() {
        let places = places(2);
        let (place, cut) = answered(&places);
        place.waits_for_client(true);
        advance(WHOLE * 2).await;
        let _other = places.take().unwrap();
        assert!(!is_cut(&cut));
    }

    #[tokio::test(start_paused = true)]
    async fn the_one_that_stalls_longest_gives_way() {
        let places = places(3);
        let (reading, reading_cut) = answered(&places);
        let (first, first_cut) = answered(&places);
        let (second, second_cut) = answered(&places);
        second.waits_for_client(true);
        advance(INSTANT).await;
        first.waits_for_client(true);
        advance(NEARLY).await;
        reading.waits_for_client(true);
        assert!(places.take().is_none());
        advance(INSTANT).await;
        let _new = places.take().expect("somebody gives way");
        assert!(is_cut(&second_cut) && !is_cut(&first_cut) && !is_cut(&reading_cut));
        // Its end doesn't free another place, and nothing it does has an effect any more.
        second.waits_for_client(false);
        drop(second);
        assert!(places.take().is_none());
        // Whoever takes something is spared.
        first.waits_for_client(false);
        advance(NEARLY).await;
        assert!(places.take().is_none());
        drop((reading, first));
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_takes_little_by_little_gives_way_in_the_end() {
        let places = places(1);
        let (place, cut) = answered(&places);
        for _ in 0..9 {
            advance(WHOLE / 10).await;
            place.waits_for_client(true);
            assert!(places.take().is_none());
        }
        advance(WHOLE / 10).await;
        assert!(places.take().is_some());
        assert!(is_cut(&cut));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_not_answered_yet_is_no_client_s_fault() {
        let places = places(1);
        let _place = places.take().unwrap();
        advance(WHOLE * 2).await;
        assert!(places.take().is_none());
    }
}
