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
#[path = "../../tests/support/mod.rs"]
mod support;

use std::{
    fs,
    path::PathBuf,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use chrono::{DateTime, Utc};

use exporter::Exporter;
use measure::{
    child::cpu_time,
    machine,
    table::{Table, as_f64, mebibytes, target},
};
use organization::{Organization, ROLE, Size};
use rounds::{Delays, all_done, last_call};
use support::fake_aws::Site;

const SIZE: Size = Size {
    accounts: 1_000,
    users: 50,
    keys_per_user: 2,
    overdue_percent: 5,
    latency: Duration::from_millis(30),
    rate: 20,
};

/// The interval of the cold run and of the restart: as it is by default, so that no account's turn comes twice.
const LONG_INTERVAL: Duration = Duration::from_mins(5);
/// The interval of all else: half of the time in which a warm refresh of everything has to be done.
const SHORT_INTERVAL: Duration = Duration::from_secs(30);
/// How long refreshes are watched, with and without neighbours that hang.
const WINDOW: Duration = Duration::from_secs(50);

const MOST_MEMORY: u64 = 300 << 20;
const LONGEST_WARM: Duration = Duration::from_mins(1);

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
    bench.restart(&mut results)?;
    bench.steady(&mut results)?;
    let peak = results.peak;
    results.row(
        "most memory of all runs",
        format!("{} MiB", mebibytes(peak)),
        target(peak < MOST_MEMORY, format!("< {} MiB", MOST_MEMORY >> 20)),
    );
    println!("{table}");
    Ok(())
}

/// The table, and what is added up over all runs.
struct Results<'a> {
    table: &'a mut Table,
    peak: u64,
}

impl Results<'_> {
    fn row(&mut self, what: &str, measured: String, wanted: String) {
        self.table.row([what.to_owned(), measured, wanted]);
    }

    fn told(&mut self, what: &str, measured: String) {
        self.row(what, measured, "–".to_owned());
    }
}

struct Bench {
    organization: Organization,
    config: PathBuf,
    storage: PathBuf,
}

impl Bench {
    /// Writes the configuration, which a reload reads again.
    fn configure(&self, max_age_days: u32) -> anyhow::Result<()> {
        let text = format!(
            "organization:\n  role_name: {ROLE}\npolicy:\n  max_age_days: {max_age_days}\n"
        );
        Ok(fs::write(&self.config, text)?)
    }

    fn start(&self, interval: Duration) -> anyhow::Result<Exporter> {
        self.organization.reset_counts();
        let arguments = [
            format!("--storage.path={}", self.storage.display()),
            format!("--refresh.interval={}s", interval.as_secs()),
            format!("--aws.requests-per-second={}", SIZE.rate),
        ];
        Exporter::start(&self.organization, &self.config, &arguments)
    }

    /// The first refresh of all, with nothing known.
    fn cold(&self, results: &mut Results<'_>) -> anyhow::Result<()> {
        let double = fake_cpu_time()?;
        let exporter = self.start(LONG_INTERVAL)?;
        exporter.wait_until_ready()?;
        let sites = &self.organization.sites;
        let last = last_call(sites).context("nothing was called")?;
        let cpu = exporter.process.whole_cpu_time()?;
        let refreshing = exporter.process.peak()?;
        let wall = last - exporter.started;
        results.told("cold refresh", seconds(wall));
        results.told("– calls an account", per_account(self.organization.calls()));
        results.told(
            "– calls throttled",
            self.organization.throttled().to_string(),
        );
        results.told("– CPU time", seconds(cpu));
        let double = fake_cpu_time()?.saturating_sub(double);
        results.told("– CPU time of the double", seconds(double));
        results.told("– most memory", format!("{} MiB", mebibytes(refreshing)));
        let scrape = exporter.scrape()?;
        ensure!(
            scrape.keys == SIZE.keys() && scrape.up == SIZE.accounts,
            "a scrape shows {} keys and {} accounts up",
            scrape.keys,
            scrape.up
        );
        results.told(
            "a scrape",
            format!(
                "{} MiB in {}",
                mebibytes(scrape.bytes),
                seconds(scrape.took)
            ),
        );
        results.peak = results.peak.max(exporter.process.peak()?);
        exporter.stop()
    }

    /// From what was saved to a first answer, and to a first refresh of all.
    fn restart(&self, results: &mut Results<'_>) -> anyhow::Result<()> {
        let cold = self.organization.calls();
        let exporter = self.start(LONG_INTERVAL)?;
        let complete = exporter.wait_for_keys(SIZE.keys())?;
        results.told("restart: first complete scrape after", seconds(complete));
        let sites = &self.organization.sites;
        wait_until(|| all_done(sites), LONG_INTERVAL)?;
        let last = last_call(sites).context("nothing was called")?;
        let warm = self.organization.calls();
        results.told(
            "– everything refreshed after",
            seconds(last - exporter.started),
        );
        results.told("– calls an account", per_account(warm));
        results.told(
            "– calls saved",
            format!("{} %", percent(cold - warm.min(cold), cold)),
        );
        results.peak = results.peak.max(exporter.process.peak()?);
        exporter.stop()
    }

    /// Refreshes at a short interval: without trouble, all at once, with neighbours that hang, and under scrapes.
    fn steady(&self, results: &mut Results<'_>) -> anyhow::Result<()> {
        let exporter = self.start(SHORT_INTERVAL)?;
        exporter.wait_until_ready()?;
        let sites = &self.organization.sites;
        wait_until(|| all_called(sites), LONG_INTERVAL)?;

        let cpu = exporter.process.whole_cpu_time()?;
        let alone = self.watch(sites)?;
        let cpu = exporter.process.whole_cpu_time()?.saturating_sub(cpu);
        let cores = cpu.as_secs_f64() / WINDOW.as_secs_f64();
        let round = alone.longest_pause + alone.p99;
        results.row(
            &format!("warm refresh, every {} s", SHORT_INTERVAL.as_secs()),
            seconds(round),
            target(
                round < LONGEST_WARM,
                format!("< {} s", LONGEST_WARM.as_secs()),
            ),
        );
        results.told(
            "– calls an account and refresh",
            format!("{:.1}", self.calls_a_refresh()),
        );
        results.row(
            "– cores in use",
            format!("{cores:.2}"),
            target(cores <= 1.0, "≤ 1"),
        );
        results.told("– an account's refresh, median", millis(alone.median));
        results.told("– an account's refresh, p99", millis(alone.p99));

        let all_at_once = self.refresh_all_at_once(&exporter)?;
        results.row(
            "warm refresh, all at once",
            seconds(all_at_once),
            target(
                all_at_once < LONGEST_WARM,
                format!("< {} s", LONGEST_WARM.as_secs()),
            ),
        );

        let healthy = self.organization.hang_one_percent();
        // The first turns of those that hang, and whatever they hold up.
        thread::sleep(SHORT_INTERVAL);
        let beside = self.watch(healthy)?;
        let slower = ratio(beside.p99, alone.p99) - 1.0;
        results.told("1 % hang: p99 of healthy accounts", millis(beside.p99));
        results.row(
            "– against none",
            format!("{:+.1} %", slower * 100.0),
            target(slower < 0.05, "< 5 %"),
        );
        let later = beside.p99_late.saturating_sub(alone.p99_late);
        let of_interval = ratio(later, SHORT_INTERVAL);
        results.row(
            "– p99 of how much later, of the interval",
            format!("{:.1} %", of_interval * 100.0),
            target(of_interval < 0.05, "< 5 %"),
        );
        for site in sites {
            site.clear_faults();
        }

        let reloads = reloads::under_scrapes(&exporter, |days| self.configure(days))?;
        results.told(
            "reloads under scrapes",
            format!("{} beside {} scrapes", reloads.reloads, reloads.scrapes),
        );
        results.row(
            "– scrapes failed",
            reloads.failed.to_string(),
            target(reloads.failed == 0, "0"),
        );
        results.peak = results.peak.max(exporter.process.peak()?);
        exporter.stop()
    }

    /// Watches the refreshes of some accounts for a while.
    fn watch(&self, sites: &[Arc<Site>]) -> anyhow::Result<Delays> {
        self.organization.reset_counts();
        let begin = Instant::now();
        thread::sleep(WINDOW);
        Delays::of(sites, begin, SHORT_INTERVAL).context("too little was refreshed")
    }

    fn calls_a_refresh(&self) -> f64 {
        let sites = &self.organization.sites;
        let refreshes: usize = sites.iter().map(|site| rounds::bursts(site).len()).sum();
        as_f64(self.organization.calls() as u64) / as_f64(refreshes.max(1) as u64)
    }

    /// Changes the policy, at which everything is refreshed at once, and gives the time until that is done.
    fn refresh_all_at_once(&self, exporter: &Exporter) -> anyhow::Result<Duration> {
        self.configure(91)?;
        self.organization.reset_counts();
        let start = Instant::now();
        exporter.reload()?;
        let sites = &self.organization.sites;
        wait_until(|| all_called(sites), LONG_INTERVAL)?;
        let firsts = sites
            .iter()
            .filter_map(|site| Some(rounds::bursts(site).first()?.last));
        let last = firsts.max().context("nothing was called")?;
        Ok(last - start)
    }
}

/// Whether every account was called since the counts were reset.
fn all_called(sites: &[Arc<Site>]) -> bool {
    sites.iter().all(|site| site.counts().total() > 0)
}

fn wait_until(mut come: impl FnMut() -> bool, at_most: Duration) -> anyhow::Result<()> {
    let deadline = Instant::now() + at_most;
    while !come() {
        ensure!(Instant::now() < deadline, "nothing came in {at_most:?}");
        thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

fn fake_cpu_time() -> anyhow::Result<Duration> {
    cpu_time("self", Some("fake-aws"))
}

fn per_account(calls: usize) -> String {
    format!("{:.1}", as_f64(calls as u64) / as_f64(SIZE.accounts as u64))
}

fn percent(part: usize, whole: usize) -> String {
    format!(
        "{:.0}",
        100.0 * as_f64(part as u64) / as_f64(whole.max(1) as u64)
    )
}

fn ratio(a: Duration, b: Duration) -> f64 {
    a.as_secs_f64() / b.as_secs_f64().max(f64::MIN_POSITIVE)
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

fn millis(time: Duration) -> String {
    format!("{} ms", time.as_millis())
}

#[expect(
    clippy::disallowed_methods,
    reason = "the exporter goes by the machine's clock, so what it reads does too"
)]
fn now() -> DateTime<Utc> {
    Utc::now()
}
