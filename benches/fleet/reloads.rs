//! Reloads while others scrape.

use std::{
    sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    thread,
};

use super::{
    client::Client,
    exporter::{Exporter, TEXT},
};

const SCRAPERS: usize = 2;
const RELOADS: u32 = 10;

/// What came of it.
pub(crate) struct Reloads {
    pub(crate) made: u32,
    pub(crate) scrapes: usize,
    pub(crate) failed: usize,
}

/// Reloads with another age each time, while others scrape without a pause.
pub(crate) fn under_scrapes(
    exporter: &Exporter,
    configure: impl Fn(u32) -> anyhow::Result<()>,
) -> anyhow::Result<Reloads> {
    let (scrapes, failed) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let done = AtomicBool::new(false);
    let outcome = thread::scope(|scope| {
        for _ in 0..SCRAPERS {
            scope.spawn(|| {
                while !done.load(Relaxed) {
                    // A connection of its own each time: it is refused too if the server stumbles.
                    let scrape = Client::connect(exporter.address)
                        .and_then(|mut client| client.scrape(TEXT));
                    scrapes.fetch_add(1, Relaxed);
                    if scrape.is_err() {
                        failed.fetch_add(1, Relaxed);
                    }
                }
            });
        }
        let outcome = (0..RELOADS).try_for_each(|number| {
            // Between a scrape of each scraper at least.
            let before = scrapes.load(Relaxed);
            while scrapes.load(Relaxed) < before + SCRAPERS {
                thread::yield_now();
            }
            configure(92 + number)?;
            exporter.reload()
        });
        done.store(true, Relaxed);
        outcome
    });
    outcome?;
    Ok(Reloads {
        made: RELOADS,
        scrapes: scrapes.into_inner(),
        failed: failed.into_inner(),
    })
}
