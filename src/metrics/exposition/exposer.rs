//! One render shared by all who ask for the same thing at the same moment.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use prometheus_client::registry::Registry;
use tokio::time::Instant;

use super::blocks::Blocks;
use super::{Encoding, Exposition, Format, RenderError, render_into};

/// How long after its start a render may still be handed to newcomers, if somebody is receiving it yet.
const SHARED_FOR: Duration = Duration::from_secs(1);

/// Renders the registries of a source on demand. A cheap handle.
///
/// A body takes some 10 MB for 10 000 keys, so whoever asks for the format and encoding that is being
/// rendered follows that render, and a body that is still being sent to somebody is shared for a second.
/// No body is kept for its own sake: once the last reader is done, it is gone, and its memory is there for
/// the next.
#[derive(Clone)]
pub struct Exposer(Arc<Shared>);

type Source = dyn Fn() -> Vec<Arc<Registry>> + Send + Sync;

struct Shared {
    source: Box<Source>,
    // A std mutex: it is held for a few instructions and never across an await.
    latest: Mutex<HashMap<(Format, Encoding), Latest>>,
    blocks: Blocks,
}

/// The latest render of one format and encoding.
struct Latest {
    began: Instant,
    body: Weak<Exposition>,
}

impl Latest {
    /// Its body, if that may be given to somebody new.
    fn share(&self) -> Option<Arc<Exposition>> {
        let body = self.body.upgrade()?;
        let is_young = body.is_growing() || self.began.elapsed() < SHARED_FOR;
        (is_young && body.is_sound()).then_some(body)
    }
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

    /// The exposition as of now, or as of at most a second before. A large one may still grow.
    ///
    /// # Errors
    /// Fails if a collector fails or panics before there is anything to send; the next call tries again.
    ///
    /// # Panics
    /// Must be called in a Tokio runtime.
    pub async fn scrape(
        &self,
        format: Format,
        encoding: Encoding,
    ) -> Result<Arc<Exposition>, RenderError> {
        let body = self.body(format, encoding);
        body.begun().await?;
        Ok(body)
    }

    /// The body that can be shared, else that of a render which is started.
    fn body(&self, format: Format, encoding: Encoding) -> Arc<Exposition> {
        let mut latest = self.0.lock();
        if let Some(body) = latest.get(&(format, encoding)).and_then(Latest::share) {
            return body;
        }
        let body = Arc::<Exposition>::default();
        let began = Instant::now();
        let shared = Latest {
            began,
            body: Arc::downgrade(&body),
        };
        latest.insert((format, encoding), shared);
        let shared = Arc::clone(&self.0);
        let render = Render(Arc::clone(&body));
        // Nobody owns a render but itself: it ends by itself, and goes on when the first to ask has gone
        // away, for the others who follow.
        tokio::task::spawn_blocking(move || shared.render(format, encoding, &render));
        body
    }
}

/// A render under way. However it ends, those who follow learn of it.
struct Render(Arc<Exposition>);

impl Drop for Render {
    fn drop(&mut self) {
        // Of a render that came to its end this changes nothing.
        self.0.end(None, Err(RenderError::BrokenOff));
    }
}

impl Shared {
    fn render(&self, format: Format, encoding: Encoding, render: &Render) {
        let registries = (self.source)();
        let registries = registries.iter().map(AsRef::as_ref);
        let result = render_into(&render.0, &self.blocks, registries, format, encoding);
        if let Err(fmt::Error) = result {
            render.0.end(None, Err(RenderError::Collector));
        }
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
