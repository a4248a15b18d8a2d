//! The exporter's own binary, in a process of its own.

use std::{
    net::SocketAddr,
    path::Path,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};

use super::{
    client::{Client, Kind},
    measure::child::Process,
    organization::Organization,
};

/// How long anything may take that is waited for.
const PATIENCE: Duration = Duration::from_secs(200);
const POLL: Duration = Duration::from_millis(20);

/// A running exporter. Dropping it kills it.
pub(crate) struct Exporter {
    pub(crate) process: Process,
    pub(crate) address: SocketAddr,
    /// When it was started.
    pub(crate) started: Instant,
}

/// The scrapes that Prometheus makes.
pub(crate) const TEXT: Kind = Kind::ALL[0];

impl Exporter {
    /// Starts it over the organization, and returns when it listens.
    pub(crate) fn start(
        organization: &Organization,
        config: &Path,
        arguments: &[String],
    ) -> anyhow::Result<Self> {
        let mut command = Command::new("sh");
        command
            // The log is what tells the address, and goes to standard error.
            .args(["-c", "exec \"$0\" \"$@\" 2>&1"])
            .arg(env!("CARGO_BIN_EXE_iam-key-exporter"))
            .args(["--web.listen-address=127.0.0.1:0", "--web.enable-lifecycle"])
            .arg(format!("--config.file={}", config.display()))
            .args(arguments)
            .envs(organization.aws.environment());
        let started = Instant::now();
        let mut process = Process::start(&mut command)?;
        let address = loop {
            let line = process.line()?;
            if let Some((_, rest)) = line.split_once("address=") {
                let address = rest.split(' ').next().unwrap_or_default();
                break address.trim_matches('"').parse().context(line)?;
            }
        };
        process.discard_output();
        Ok(Self {
            process,
            address,
            started,
        })
    }

    /// Waits until every account was tried, and gives the time since the start.
    pub(crate) fn wait_until_ready(&self) -> anyhow::Result<Duration> {
        self.wait_for("ready", |_| {
            Ok(status(self.address, "GET", "/-/ready")? == 200)
        })
    }

    /// Waits until a scrape shows so many keys, and gives the time since the start.
    pub(crate) fn wait_for_keys(&self, keys: usize) -> anyhow::Result<Duration> {
        self.wait_for("complete", |exporter| Ok(exporter.scrape()?.keys == keys))
    }

    fn wait_for(
        &self,
        what: &str,
        mut come: impl FnMut(&Self) -> anyhow::Result<bool>,
    ) -> anyhow::Result<Duration> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if come(self)? {
                return Ok(self.started.elapsed());
            }
            ensure!(
                Instant::now() < deadline,
                "the exporter isn't {what} after {PATIENCE:?}"
            );
            thread::sleep(POLL);
        }
    }

    /// Scrapes once, and looks at what came.
    pub(crate) fn scrape(&self) -> anyhow::Result<Scrape> {
        let start = Instant::now();
        let body = Client::connect(self.address)?.body(TEXT)?;
        let took = start.elapsed();
        let text = str::from_utf8(&body)?;
        let of = |name: &'static str| text.lines().filter(move |line| line.starts_with(name));
        Ok(Scrape {
            took,
            bytes: body.len() as u64,
            keys: of("aws_iam_access_key_age_days{").count(),
            up: of("iam_key_exporter_account_up{")
                .filter(|line| line.ends_with(" 1"))
                .count(),
        })
    }

    /// Reads its configuration again, and returns when that has taken effect.
    pub(crate) fn reload(&self) -> anyhow::Result<()> {
        match status(self.address, "POST", "/-/reload")? {
            200 => Ok(()),
            status => bail!("a reload was answered with {status}"),
        }
    }

    /// Ends it as a supervisor does, and waits until it has ended.
    pub(crate) fn stop(mut self) -> anyhow::Result<()> {
        let id = i32::try_from(self.process.id())?;
        kill_process(Pid::from_raw(id).context("an id of 0")?, Signal::TERM)?;
        let status = self.process.wait()?;
        ensure!(status.success(), "the exporter ended with {status}");
        Ok(())
    }
}

/// What a scrape showed.
pub(crate) struct Scrape {
    pub(crate) took: Duration,
    pub(crate) bytes: u64,
    pub(crate) keys: usize,
    pub(crate) up: usize,
}

/// The status of an answer, on a connection of its own.
fn status(address: SocketAddr, method: &str, path: &str) -> anyhow::Result<u16> {
    use std::io::{Read as _, Write as _};

    let mut stream = std::net::TcpStream::connect(address)?;
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let status = answer.split(' ').nth(1).context("an empty answer")?;
    Ok(status.parse()?)
}
