//! One render shared by all who ask for the same thing at the same moment.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use prometheus_client::registry::Registry;
use tokio::sync::watch;
use tokio::time::Instant;

use super::blocks::Blocks;
use super::{Encoding, Exposition, Format, render_into};

/// How long after its start a render may still be handed to newcomers, if somebody is receiving it yet.
const SHARED_FOR: Duration = Duration::from_secs(1);

/// Why there is no exposition to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    /// A collector returned an error.
    #[error("a metrics collector failed")]
    Collector,
    /// A collector panicked, or the runtime is shutting down.
    #[error("rendering the metrics broke off")]
    BrokenOff,
}

/// Renders the registries of a source on demand. A cheap handle.
///
/// A body takes some 10 MB for 10 000 keys, so whoever asks for the format and encoding that is being
/// rendered waits for that render, and a body that is still being sent to somebody is shared for a second.
/// No body is kept for its own sake: once the last reader is done, it is gone, and its memory is there for
/// the next.
#[derive(Clone)]
pub struct Exposer(Arc<Shared>);

type Source = dyn Fn() -> Vec<Arc<Registry>> + Send + Sync;
type Outcome = Result<Arc<Exposition>, RenderError>;
type Flight = watch::Receiver<Option<Outcome>>;

struct Shared {
    source: Box<Source>,
    // A std mutex: it is held for a few instructions and never across an await.
    latest: Mutex<HashMap<(Format, Encoding), Latest>>,
    blocks: Blocks,
}

/// The latest render of one format and encoding.
enum Latest {
    Rendering(Flight),
    Rendered {
        began: Instant,
        body: Weak<Exposition>,
    },
}

impl Exposer {
    /// `source` gives the registries to render, in order. It is called once a render, on a thread that
    /// may block, and is the place to read the clock.
    pub fn new(source: impl Fn() -> Vec<Arc<Registry>> + Send + Sync + 'static) -> Self {
        Self(Arc::new(Shared {
            source: Box::new(source),
            latest: Mutex::default(),
            blocks: Blocks::default(),
        }))
    }

    /// The exposition as of now, or as of at most a second before.
    ///
    /// # Errors
    /// Fails if a collector fails or panics; the next call tries again.
    ///
    /// # Panics
    /// Must be called in a Tokio runtime.
    pub async fn scrape(&self, format: Format, encoding: Encoding) -> Outcome {
        let mut flight = match self.board(format, encoding) {
            Ok(body) => return Ok(body),
            Err(flight) => flight,
        };
        match flight.wait_for(Option::is_some).await {
            Ok(outcome) => outcome.clone().unwrap_or(Err(RenderError::BrokenOff)),
            Err(_) => Err(RenderError::BrokenOff),
        }
    }

    /// The body that can be shared, else the render in flight, started if need be.
    fn board(&self, format: Format, encoding: Encoding) -> Result<Arc<Exposition>, Flight> {
        let mut latest = self.0.lock();
        match latest.get(&(format, encoding)) {
            Some(Latest::Rendering(flight)) if is_alive(flight) => return Err(flight.clone()),
            Some(Latest::Rendered { began, body }) if began.elapsed() < SHARED_FOR => {
                if let Some(body) = body.upgrade() {
                    return Ok(body);
                }
            }
            _ => {}
        }
        let (landing, flight) = watch::channel(None);
        latest.insert((format, encoding), Latest::Rendering(flight.clone()));
        let shared = Arc::clone(&self.0);
        // Nobody owns a render but itself: it ends by itself, reports through the channel, and goes on
        // when the first to ask has gone away, for the others who wait.
        tokio::task::spawn_blocking(move || shared.render(format, encoding, &landing));
        Err(flight)
    }
}

/// Whether a render will report yet: one that panicked has dropped its end without a word.
fn is_alive(flight: &Flight) -> bool {
    flight.has_changed().is_ok()
}

impl Shared {
    fn render(&self, format: Format, encoding: Encoding, landing: &watch::Sender<Option<Outcome>>) {
        let began = Instant::now();
        let registries = (self.source)();
        let registries = registries.iter().map(AsRef::as_ref);
        let outcome = render_into(&self.blocks, registries, format, encoding)
            .map(Arc::new)
            .map_err(|fmt::Error| RenderError::Collector);
        let body = outcome
            .as_ref()
            .map_or_else(|_| Weak::new(), Arc::downgrade);
        // The map lets go of the flight before it lands, or else it would keep the body.
        self.lock()
            .insert((format, encoding), Latest::Rendered { began, body });
        landing.send_replace(Some(outcome));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<(Format, Encoding), Latest>> {
        // Each change is a single insert, so a panic elsewhere leaves the map whole.
        self.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Exposer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exposer").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;

    use futures_util::FutureExt as _;
    use futures_util::future::join_all;
    use prometheus_client::collector::Collector;
    use prometheus_client::encoding::DescriptorEncoder;
    use prometheus_client::metrics::gauge::Gauge;

    use super::*;

    /// An exposer whose renders wait for a permit, and a count of the renders begun.
    fn gated() -> (Exposer, mpsc::Sender<()>, Arc<AtomicUsize>) {
        let (permit, permits) = mpsc::channel();
        let permits = Mutex::new(permits);
        let renders = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&renders);
        let exposer = Exposer::new(move || {
            counted.fetch_add(1, Ordering::SeqCst);
            permits.lock().unwrap().recv().unwrap();
            vec![Arc::new(answer())]
        });
        (exposer, permit, renders)
    }

    fn answer() -> Registry {
        let mut registry = Registry::default();
        registry.register("answer", "The answer", Gauge::<i64>::default());
        registry
    }

    #[tokio::test]
    async fn forty_scrapes_at_once_render_once() {
        let (exposer, permit, renders) = gated();
        let mut scrapes: Vec<_> = (0..40)
            .map(|_| Box::pin(exposer.scrape(Format::Text, Encoding::Identity)))
            .collect();
        for scrape in &mut scrapes {
            assert!(scrape.now_or_never().is_none(), "rendered without a permit");
        }
        permit.send(()).unwrap();
        let bodies: Vec<_> = join_all(scrapes).await;
        let first = bodies[0].as_ref().unwrap();
        assert!(
            bodies
                .iter()
                .all(|b| Arc::ptr_eq(b.as_ref().unwrap(), first))
        );
        assert_eq!(renders.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn formats_and_encodings_are_rendered_apart() {
        let (exposer, permit, renders) = gated();
        let mut bodies = Vec::new();
        for format in [Format::OpenMetrics, Format::Text] {
            for encoding in [Encoding::Identity, Encoding::Gzip] {
                permit.send(()).unwrap();
                bodies.push(exposer.scrape(format, encoding).await.unwrap());
            }
        }
        assert_eq!(renders.load(Ordering::SeqCst), 4);
    }

    #[tokio::test]
    async fn the_first_to_ask_may_go_away() {
        let (exposer, permit, renders) = gated();
        let mut first = Box::pin(exposer.scrape(Format::Text, Encoding::Gzip));
        let mut second = Box::pin(exposer.scrape(Format::Text, Encoding::Gzip));
        assert!((&mut first).now_or_never().is_none());
        assert!((&mut second).now_or_never().is_none());
        drop(first);
        permit.send(()).unwrap();
        assert!(!second.await.unwrap().is_empty());
        assert_eq!(renders.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn a_body_is_released_with_its_last_reader() {
        let (exposer, permit, renders) = gated();
        permit.send(()).unwrap();
        let body = exposer
            .scrape(Format::Text, Encoding::Identity)
            .await
            .unwrap();
        let shared = exposer
            .scrape(Format::Text, Encoding::Identity)
            .await
            .unwrap();
        assert!(Arc::ptr_eq(&body, &shared));
        assert_eq!(renders.load(Ordering::SeqCst), 1);

        let watched = Arc::downgrade(&body);
        drop((body, shared));
        // The rendering thread may hold it for an instant after it has handed it out.
        let deadline = Instant::now() + Duration::from_secs(5);
        while watched.strong_count() > 0 {
            assert!(Instant::now() < deadline, "the body is still held");
            tokio::task::yield_now().await;
        }
        permit.send(()).unwrap();
        exposer
            .scrape(Format::Text, Encoding::Identity)
            .await
            .unwrap();
        assert_eq!(renders.load(Ordering::SeqCst), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_in_use_is_shared_for_a_second_only() {
        let (exposer, permit, renders) = gated();
        permit.send(()).unwrap();
        let held = exposer
            .scrape(Format::Text, Encoding::Identity)
            .await
            .unwrap();
        tokio::time::advance(Duration::from_millis(900)).await;
        let young = exposer
            .scrape(Format::Text, Encoding::Identity)
            .await
            .unwrap();
        assert!(Arc::ptr_eq(&held, &young));
        tokio::time::advance(Duration::from_millis(100)).await;
        permit.send(()).unwrap();
        let fresh = exposer
            .scrape(Format::Text, Encoding::Identity)
            .await
            .unwrap();
        assert!(!Arc::ptr_eq(&held, &fresh));
        assert_eq!(renders.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn a_panic_fails_those_who_wait_and_nobody_after() {
        let calls = AtomicUsize::new(0);
        let exposer = Exposer::new(move || {
            assert!(
                calls.fetch_add(1, Ordering::SeqCst) > 0,
                "the first render breaks"
            );
            vec![Arc::new(answer())]
        });
        let scrape = || exposer.scrape(Format::Text, Encoding::Identity);
        assert_eq!(scrape().await.unwrap_err(), RenderError::BrokenOff);
        assert!(!scrape().await.unwrap().is_empty());
    }

    #[derive(Debug)]
    struct Failing;

    impl Collector for Failing {
        fn encode(&self, _: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
            Err(fmt::Error)
        }
    }

    #[tokio::test]
    async fn a_failing_collector_fails_the_scrape_as_a_whole() {
        let exposer = Exposer::new(|| {
            let mut registry = answer();
            registry.register_collector(Box::new(Failing));
            vec![Arc::new(registry)]
        });
        let scrape = exposer
            .scrape(Format::OpenMetrics, Encoding::Identity)
            .await;
        assert_eq!(scrape.unwrap_err(), RenderError::Collector);
    }
}
