//! What one refresh costs: calls to AWS, time, CPU time and memory, cold and warm, for each strategy.
//!
//! AWS is the double of the tests, in this process; the refresh runs in a process of its own, so that its
//! CPU time and memory are its own.

#![expect(clippy::print_stdout, reason = "the tables are the product")]

mod measure;
#[path = "../tests/support/mod.rs"]
mod support;

use std::{
    collections::BTreeMap,
    io::{self, BufRead as _},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, bail, ensure};
use chrono::{DateTime, TimeDelta, Utc};
use clap::Parser as _;
use iam_key_exporter::{
    cli::Cli, clock::Clock, config::Config, counts::RequestCounts, inventory::Inventory,
    source::Source,
};
use tokio::time::Instant;

use measure::{
    child::{Process, cpu_time},
    machine,
    table::{Table, mebibytes, target},
};
use support::fake_aws::{Calls, FakeAws, Operation, Population};

const LATENCY: Duration = Duration::from_millis(30);
/// The default of `--aws.max-concurrency`.
const CONCURRENCY: u32 = 16;
const REFRESH_INTERVAL: Duration = Duration::from_mins(5);
const STRATEGIES: [&str; 3] = ["list", "report", "auto"];
const SIZES: [usize; 2] = [1_000, 5_000];

/// 2026-06-01 12:00 UTC. Ages are counted from a fixed instant, so that each run does the same work.
fn epoch() -> DateTime<Utc> {
    DateTime::from_timestamp(1_780_315_200, 0).expect("the instant is representable")
}

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [role, strategy] = &arguments[..]
        && role == "role"
    {
        return refresh_twice(strategy);
    }
    println!("## Refresh\n\n{}", machine::describe());
    println!(
        "{} ms of latency a call, {CONCURRENCY} calls at once, 2 keys a user, 5 % of the users with an overdue key; \
         the credential report is there already. CPU time and memory are those of the refreshing process alone; \
         the double's CPU time stands apart.",
        LATENCY.as_millis()
    );
    let mut table = Table::new(
        "One cold and one warm refresh",
        3,
        &[
            "users",
            "strategy",
            "refresh",
            "calls",
            "target",
            "seconds",
            "target",
            "CPU s",
            "double's CPU s",
            "peak MiB",
        ],
    );
    let mut operations = Table::new(
        "Calls by operation",
        4,
        &["users", "strategy", "refresh", "calls"],
    );
    for users in SIZES {
        for strategy in STRATEGIES {
            for refresh in measure_strategy(strategy, users)? {
                table.row(refresh.cells());
                operations.row(refresh.calls_by_operation());
            }
        }
    }
    println!("{table}{operations}");
    Ok(())
}

/// What one refresh took.
struct Refresh {
    users: usize,
    overdue: usize,
    strategy: &'static str,
    warm: bool,
    calls: Calls,
    wall: Duration,
    cpu: Duration,
    double_cpu: Duration,
    peak: u64,
}

impl Refresh {
    fn cells(&self) -> [String; 10] {
        let calls = self.counted_calls();
        let wanted_calls = self.most_calls().map_or("–".into(), |most| {
            target(calls <= most, format!("≤ {most}"))
        });
        let wanted_time = self.longest().map_or("–".into(), |longest| {
            target(
                self.wall <= longest,
                format!("≤ {:.2}", longest.as_secs_f64()),
            )
        });
        [
            self.users.to_string(),
            self.strategy.to_owned(),
            self.temperature().to_owned(),
            calls.to_string(),
            wanted_calls,
            format!("{:.2}", self.wall.as_secs_f64()),
            wanted_time,
            format!("{:.2}", self.cpu.as_secs_f64()),
            format!("{:.2}", self.double_cpu.as_secs_f64()),
            mebibytes(self.peak),
        ]
    }

    fn temperature(&self) -> &'static str {
        if self.warm { "warm" } else { "cold" }
    }

    /// All calls but `GetCallerIdentity`, which isn't IAM's and every refresh begins with.
    fn counted_calls(&self) -> usize {
        self.calls.total() - self.calls.of(Operation::GetCallerIdentity)
    }

    /// The most calls that `auto` may make: everybody and every due key when cold, when warm only users with an
    /// old key.
    fn most_calls(&self) -> Option<usize> {
        match (self.strategy, self.warm) {
            ("auto", false) => Some(self.users + self.overdue + 8),
            ("auto", true) => Some(2 + self.overdue),
            _ => None,
        }
    }

    /// The longest that a cold `list` may take: half as much again as its calls must at this latency.
    fn longest(&self) -> Option<Duration> {
        let calls = u32::try_from(self.calls.total()).ok()?;
        (self.strategy == "list" && !self.warm)
            .then(|| (calls * LATENCY / CONCURRENCY).mul_f64(1.5))
    }

    fn calls_by_operation(&self) -> [String; 4] {
        let mut counts = BTreeMap::new();
        for call in &self.calls.log {
            *counts.entry(call.operation).or_insert(0) += 1;
        }
        let counts: Vec<_> = counts
            .into_iter()
            .map(|(operation, count)| format!("{} {count}", operation.name()))
            .collect();
        [
            self.users.to_string(),
            self.strategy.to_owned(),
            self.temperature().to_owned(),
            counts.join(", "),
        ]
    }
}

fn measure_strategy(strategy: &'static str, users: usize) -> anyhow::Result<[Refresh; 2]> {
    let aws = FakeAws::start_on_thread();
    let population = Population {
        users,
        keys_per_user: 2,
        overdue_percent: 5,
        now: epoch(),
    };
    {
        let mut account = aws.account();
        population.settle(&mut account);
        account.complete_report();
    }
    aws.set_latency(LATENCY);
    let mut process = Process::role([strategy], &aws.environment())?;
    ensure!(
        process.line()? == "ready",
        "the refreshing process isn't ready"
    );

    let mut measure = |warm| -> anyhow::Result<Refresh> {
        aws.reset_calls();
        process.reset_peak()?;
        let (cpu, double_cpu) = (process.cpu_time()?, fake_cpu_time()?);
        process.tell("refresh")?;
        let answer = process.line()?;
        let mut words = answer.split(' ').map(str::parse::<u64>);
        let (Some(Ok(microseconds)), Some(Ok(keys)), Some(Ok(overdue))) =
            (words.next(), words.next(), words.next())
        else {
            bail!("the refreshing process answered {answer:?}");
        };
        ensure!(
            keys == 2 * users as u64,
            "{strategy}: {keys} keys of {users} users"
        );
        ensure!(
            overdue == population.overdue_users() as u64,
            "{strategy}: {overdue} overdue keys"
        );
        Ok(Refresh {
            users,
            overdue: population.overdue_users(),
            strategy,
            warm,
            calls: aws.calls(),
            wall: Duration::from_micros(microseconds),
            cpu: process.cpu_time()?.saturating_sub(cpu),
            double_cpu: fake_cpu_time()?.saturating_sub(double_cpu),
            peak: process.peak()?,
        })
    };
    Ok([measure(false)?, measure(true)?])
}

fn fake_cpu_time() -> anyhow::Result<Duration> {
    cpu_time("self", Some("fake-aws"))
}

/// The role of the process that is measured: refreshes at each line it is given, five minutes apart by its own
/// reckoning, and answers with the microseconds taken, the keys found and how many of them are overdue.
#[tokio::main]
async fn refresh_twice(strategy: &str) -> anyhow::Result<()> {
    let cli = Cli::try_parse_from(["refresh", "--aws.strategy", strategy])?;
    let config = Config::default();
    let counts = Arc::new(RequestCounts::default());
    let mut source = Source::new(
        cli.serve.source,
        Clock::System,
        &config,
        REFRESH_INTERVAL,
        counts,
    )?;
    // Kept until the next one is there, as the snapshot keeps it.
    let mut inventory: Option<Inventory> = None;
    let discovery = source.discover(epoch(), Instant::now()).await;
    let mut reader = source.reader(discovery.members.first().context("there is no account")?);
    let mut now = epoch();
    println!("ready");
    for line in io::stdin().lock().lines() {
        line?;
        let start = Instant::now();
        let outcome = reader
            .collect(now, start + Duration::from_mins(10))
            .await
            .pop()
            .context("no account was read")?;
        let taken = start.elapsed();
        let found = inventory.insert(outcome.result?);
        ensure!(found.is_complete(), "not everything was read");
        let keys = || found.users.iter().flat_map(|user| &user.keys);
        let overdue = keys()
            .filter(|key| config.policy.thresholds.is_overdue(key, now))
            .count();
        println!("{} {} {overdue}", taken.as_micros(), keys().count());
        now += TimeDelta::from_std(REFRESH_INTERVAL)?;
    }
    Ok(())
}
