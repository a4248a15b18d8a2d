//! What a whole organization costs: its refreshes cold and warm, with neighbours that hang, after a restart, and
//! reloads under scrapes.
//!
//! AWS is the double of the tests, on a thread of this process; the exporter is its own binary in a process of its
//! own, so that its CPU time and memory are its own.

#![expect(clippy::print_stdout, reason = "the table is the product")]

#[path = "../scrape/client.rs"]
#[expect(dead_code, reason = "scrapes are of one kind here")]
mod client;
mod exporter;
#[path = "../measure/mod.rs"]
mod measure;
mod organization;
mod reloads;
mod rounds;
mod runs;
#[path = "../../tests/support/mod.rs"]
mod support;

use std::time::Duration;

use chrono::{DateTime, Utc};

use measure::{
    machine,
    table::{Table, mebibytes, target},
};
use organization::{Organization, Size};
use runs::{Bench, Results};

const SIZE: Size = Size {
    accounts: 1_000,
    users: 50,
    keys_per_user: 2,
    overdue_percent: 5,
    latency: Duration::from_millis(30),
    rate: 20,
};

const MOST_MEMORY: u64 = 300 << 20;

fn main() -> anyhow::Result<()> {
    println!("## Fleet\n\n{}", machine::describe());
    println!(
        "{} accounts of {} users with {} keys each: {} keys, of which those of {} % of the users are overdue. {} ms of \
         latency a call, {} calls a second and account. The credential reports are there already. CPU time and memory \
         are those of the exporter's process alone.",
        SIZE.accounts,
        SIZE.users,
        SIZE.keys_per_user,
        SIZE.keys(),
        SIZE.overdue_percent,
        SIZE.latency.as_millis(),
        SIZE.rate,
    );
    let directory = tempfile::tempdir()?;
    let bench = Bench {
        organization: Organization::settle(SIZE, now()),
        config: directory.path().join("config.yaml"),
        storage: directory.path().join("state"),
    };
    bench.configure(90)?;
    let mut table = Table::new(
        "An organization of 100 000 keys",
        1,
        &["", "measured", "target"],
    );
    let mut results = Results {
        table: &mut table,
        peak: 0,
    };
    bench.cold(&mut results)?;
    bench.warm(&mut results)?;
    let peak = results.peak;
    results.row(
        "most memory of all runs",
        format!("{} MiB", mebibytes(peak)),
        target(peak < MOST_MEMORY, format!("< {} MiB", MOST_MEMORY >> 20)),
    );
    println!("{table}");
    Ok(())
}

#[expect(
    clippy::disallowed_methods,
    reason = "the exporter goes by the machine's clock, so what it reads does too"
)]
fn now() -> DateTime<Utc> {
    Utc::now()
}
