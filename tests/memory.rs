//! What a key costs in memory while nothing is going on. Alone in its process: every allocation counts.

#![expect(clippy::print_stdout, reason = "the figures are worth a look")]

mod support;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use iam_key_exporter::{
    clock::Clock,
    config::Reloads,
    counts::{RefreshCounts, RequestCounts},
    inventory::Inventory,
    metrics::{
        self,
        exposition::{Encoding, Exposer, Format},
    },
    policy::Policy,
    snapshot::{AccountState, KeyIdDisplay, Snapshot},
    source::aws::Strategy,
};
use peak_alloc::PeakAlloc;
use support::{
    aws_source::{INTERVAL, Reader, at},
    fake_aws::{FakeAws, Population},
};
use tokio::sync::watch;

#[global_allocator]
static ALLOCATED: PeakAlloc = PeakAlloc;

/// What a key may cost beyond the names of its user and itself, in bytes. The names stand in the labels
/// a second time.
const MOST: usize = 200;

const POPULATION: Population = Population {
    users: 50,
    keys_per_user: 2,
    overdue_percent: 5,
    now: DateTime::<Utc>::UNIX_EPOCH,
};

/// What this frees, in bytes.
fn freed<T>(held: T) -> usize {
    let before = ALLOCATED.current_usage();
    drop(held);
    before - ALLOCATED.current_usage()
}

fn snapshot(inventory: Option<Arc<Inventory>>) -> Arc<Snapshot> {
    let accounts = inventory.map(|inventory| AccountState {
        id: inventory.account.id,
        inventory: Some(inventory),
        reached: true,
        failures: Vec::new(),
        last_success: Some(now()),
        duration: INTERVAL,
    });
    Arc::new(Snapshot {
        accounts: accounts.into_iter().collect(),
        tried: true,
        ..Snapshot::before_first_refresh(Arc::new(Policy::default()), KeyIdDisplay::Full, INTERVAL)
    })
}

fn now() -> DateTime<Utc> {
    at("2026-06-01T12:00:00Z")
}

/// Scrapes, and gives what is allocated once the scrape's own memory is given back.
async fn after_scrape(exposer: &Exposer) -> usize {
    let exposition = exposer.scrape(Format::Text, Encoding::Identity).await;
    let exposition = exposition.expect("it renders");
    exposition.ended().await.expect("it renders");
    drop(exposition);
    let deadline = Instant::now() + Duration::from_secs(10);
    let mut allocated = usize::MAX;
    // The thread that rendered may still be about to let go.
    while ALLOCATED.current_usage() != allocated {
        assert!(Instant::now() < deadline, "memory never comes to rest");
        allocated = ALLOCATED.current_usage();
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    allocated
}

#[tokio::test]
async fn a_key_costs_little_beyond_its_names() {
    let aws = FakeAws::start().await;
    {
        let mut account = aws.account();
        Population {
            now: now(),
            ..POPULATION
        }
        .settle(&mut account);
        account.complete_report();
    }
    let mut reader = Reader::new(&aws, Strategy::Auto);
    // The second time, all is as it stays: nearly everybody is served from what is remembered.
    Box::pin(reader.read(&aws)).await;
    let inventory = Arc::new(Box::pin(reader.read(&aws)).await);
    let (_, remembered) = reader.aws.remembered().expect("auto remembers");
    drop(reader);
    drop(aws);

    let names: usize = inventory
        .users
        .iter()
        .map(|user| {
            let ids = user.keys.iter().map(|key| key.name.as_str().len());
            user.name.len() + ids.sum::<usize>()
        })
        .sum();
    let keys = POPULATION.users * POPULATION.keys_per_user;
    assert_eq!(
        inventory
            .users
            .iter()
            .map(|user| user.keys.len())
            .sum::<usize>(),
        keys
    );

    let (publish, published) = watch::channel(snapshot(Some(Arc::clone(&inventory))));
    let exposer = metrics::exposer(
        published,
        Clock::Fixed(now()),
        Arc::new(RequestCounts::default()),
        Arc::new(RefreshCounts::default()),
        None,
        Reloads::started(now()),
    );
    let before = after_scrape(&exposer).await;
    publish.send_replace(snapshot(None));
    let labels = before - after_scrape(&exposer).await;
    let memory = freed(remembered);
    let inventory = freed(inventory);

    let each = |bytes: usize| bytes / keys;
    let all = each(inventory + memory + labels);
    let beyond = all - 2 * each(names);
    println!(
        "bytes a key: inventory {}, memory of auto {}, labels {}; all {all}, without names {beyond}",
        each(inventory),
        each(memory),
        each(labels),
    );
    assert!(beyond <= MOST, "{beyond}");
}
