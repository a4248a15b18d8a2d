//! The runs of the exporter, and what is seen in each.

use std::{
    fs,
    path::PathBuf,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};

use super::{
    SIZE,
    exporter::Exporter,
    measure::{
        child::cpu_time,
        table::{Table, as_f64, mebibytes, target},
    },
    organization::{Organization, ROLE},
    reloads,
    rounds::{self, Delays, last_call},
    support::fake_aws::Site,
};

/// The interval of the cold run: as it is by default, so that no account's turn comes twice.
const LONG_INTERVAL: Duration = Duration::from_mins(5);
/// The interval of all else: half of the time in which a warm refresh of everything has to be done. Each account's
/// turn is somewhere in it.
const SHORT_INTERVAL: Duration = Duration::from_secs(30);
/// How long refreshes are watched, with and without neighbours that hang.
const WINDOW: Duration = Duration::from_secs(45);

const LONGEST_WARM: Duration = Duration::from_mins(1);

/// The table, and what is added up over all runs.
pub(crate) struct Results<'a> {
    pub(crate) table: &'a mut Table,
    pub(crate) peak: u64,
}

impl Results<'_> {
    pub(crate) fn row(&mut self, what: &str, measured: String, wanted: String) {
        self.table.row([what.to_owned(), measured, wanted]);
    }

    fn told(&mut self, what: &str, measured: String) {
        self.row(what, measured, "–".to_owned());
    }
}

pub(crate) struct Bench {
    pub(crate) organization: Organization,
    pub(crate) config: PathBuf,
    pub(crate) storage: PathBuf,
}

impl Bench {
    /// Writes the configuration, which a reload reads again.
    pub(crate) fn configure(&self, max_age_days: u32) -> anyhow::Result<()> {
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
        ];
        Exporter::start(&self.organization, &self.config, &arguments)
    }

    /// The first refresh of all, with nothing known.
    pub(crate) fn cold(&self, results: &mut Results<'_>) -> anyhow::Result<()> {
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

    /// Refreshes at a short interval: after a restart, without trouble, all at once, with neighbours that hang, and
    /// under scrapes.
    pub(crate) fn warm(&self, results: &mut Results<'_>) -> anyhow::Result<()> {
        let cold = self.organization.calls();
        let exporter = self.start(SHORT_INTERVAL)?;
        self.restarted(&exporter, cold, results)?;
        let alone = self.alone(&exporter, results)?;
        self.all_at_once(&exporter, results)?;
        self.beside_hanging(&alone, results)?;
        let reloads = reloads::under_scrapes(&exporter, |days| self.configure(days))?;
        results.told(
            "reloads under scrapes",
            format!("{} beside {} scrapes", reloads.made, reloads.scrapes),
        );
        results.row(
            "– scrapes failed",
            reloads.failed.to_string(),
            target(reloads.failed == 0, "0"),
        );
        results.peak = results.peak.max(exporter.process.peak()?);
        exporter.stop()
    }

    /// From what was saved to a first answer, and to a first refresh of each account.
    fn restarted(
        &self,
        exporter: &Exporter,
        cold: usize,
        results: &mut Results<'_>,
    ) -> anyhow::Result<()> {
        let complete = exporter.wait_for_keys(SIZE.keys())?;
        results.told("restart: first complete scrape after", seconds(complete));
        let sites = &self.organization.sites;
        wait_until(|| all_refreshed(sites), LONG_INTERVAL)?;
        let refreshed = first_refreshes(sites).context("nothing was called")?;
        let warm = as_f64(cold as u64) / as_f64(SIZE.accounts as u64);
        let saved = 1.0 - self.calls_a_refresh() / warm;
        results.told(
            "– every account refreshed after",
            seconds(refreshed - exporter.started),
        );
        results.told("– calls saved", format!("{:.0} %", saved * 100.0));
        Ok(())
    }

    /// Nothing goes wrong, and each account is refreshed in its turn.
    fn alone(&self, exporter: &Exporter, results: &mut Results<'_>) -> anyhow::Result<Delays> {
        let cpu = exporter.process.whole_cpu_time()?;
        let delays = self.watch(&self.organization.sites)?;
        let cpu = exporter.process.whole_cpu_time()?.saturating_sub(cpu);
        let cores = ratio(cpu, WINDOW);
        let round = delays.longest_pause + delays.p99;
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
        results.told("– an account's refresh, median", millis(delays.median));
        results.told("– an account's refresh, p99", millis(delays.p99));
        Ok(delays)
    }

    /// Changes the policy, at which everything is refreshed at once.
    fn all_at_once(&self, exporter: &Exporter, results: &mut Results<'_>) -> anyhow::Result<()> {
        self.configure(91)?;
        self.organization.reset_counts();
        let start = Instant::now();
        let cpu = exporter.process.whole_cpu_time()?;
        exporter.reload()?;
        let sites = &self.organization.sites;
        wait_until(|| all_refreshed(sites), LONG_INTERVAL)?;
        let last = first_refreshes(sites).context("nothing was called")?;
        let cpu = exporter.process.whole_cpu_time()?.saturating_sub(cpu);
        let took = last - start;
        results.row(
            "warm refresh, all at once",
            seconds(took),
            target(
                took < LONGEST_WARM,
                format!("< {} s", LONGEST_WARM.as_secs()),
            ),
        );
        results.told("– CPU time", seconds(cpu));
        Ok(())
    }

    /// One account in a hundred takes requests and never answers.
    fn beside_hanging(&self, alone: &Delays, results: &mut Results<'_>) -> anyhow::Result<()> {
        let healthy = self.organization.hang_one_percent();
        // The first turns of those that hang, and whatever they hold up.
        thread::sleep(SHORT_INTERVAL);
        let beside = self.watch(healthy)?;
        let slower = ratio(beside.p99, alone.p99) - 1.0;
        results.told(
            "1 % hang: median of healthy accounts",
            millis(beside.median),
        );
        results.told("– p99", millis(beside.p99));
        results.row(
            "– p99, against none hanging",
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
        for site in &self.organization.sites {
            site.clear_faults();
        }
        Ok(())
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
}

/// Whether every account was refreshed to the end since the counts were reset.
fn all_refreshed(sites: &[Arc<Site>]) -> bool {
    sites.iter().all(|site| rounds::is_refreshed(site))
}

/// When the first refresh of each account since then had come to its end.
fn first_refreshes(sites: &[Arc<Site>]) -> Option<Instant> {
    let ends = sites
        .iter()
        .filter_map(|site| Some(rounds::bursts(site).first()?.last));
    ends.max()
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

fn ratio(a: Duration, b: Duration) -> f64 {
    a.as_secs_f64() / b.as_secs_f64().max(f64::MIN_POSITIVE)
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

fn millis(time: Duration) -> String {
    format!("{} ms", time.as_millis())
}
