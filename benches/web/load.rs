//! The load, which is made by wrk.

use std::{
    env,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, ensure};

use super::measure::table::as_f64;

/// How long each measurement takes.
pub(crate) const SECONDS: u64 = 3;

/// What is asked for, and how.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    pub(crate) address: SocketAddr,
    pub(crate) is_tls: bool,
    pub(crate) headers: Vec<String>,
    pub(crate) connections: usize,
}

/// What came of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Figures {
    pub(crate) per_second: f64,
    pub(crate) slowest_of_a_hundred: Duration,
    /// With the heads of the responses.
    pub(crate) bytes_each: u64,
}

/// Where wrk is, if it was set up.
pub(crate) fn wrk() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let tools = env::var_os("IAM_KEY_EXPORTER_TEST_TOOLS")
        .map_or_else(|| root.join("target/tools"), PathBuf::from);
    Some(tools.join("bin/wrk")).filter(|wrk| wrk.is_file())
}

impl Load {
    /// Asks again and again on all connections.
    pub(crate) fn run(&self, wrk: &Path) -> anyhow::Result<Figures> {
        let Self {
            address,
            is_tls,
            headers,
            connections,
        } = self;
        let scheme = if *is_tls { "https" } else { "http" };
        let mut command = Command::new(wrk);
        command
            .args(["--threads=1", &format!("--connections={connections}")])
            .arg(format!("--duration={SECONDS}s"))
            .args(["--timeout=30s", "--script"])
            .arg(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/benches/web/report.lua"
            ));
        for header in headers {
            command.args(["--header", header]);
        }
        command.arg(format!("{scheme}://{address}/metrics"));
        let output = command.output().context("wrk cannot be started")?;
        let said = String::from_utf8_lossy(&output.stdout);
        ensure!(
            output.status.success(),
            "wrk failed: {said}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let numbers: Vec<u64> = said
            .lines()
            .find_map(|line| line.strip_prefix("figures "))
            .with_context(|| format!("wrk says nothing: {said}"))?
            .split(' ')
            .map(str::parse)
            .collect::<Result<_, _>>()?;
        let [requests, microseconds, percentile, bytes, refused, broken] = numbers[..] else {
            anyhow::bail!("wrk says something else: {said}");
        };
        ensure!(
            requests > 0 && refused == 0 && broken == 0,
            "not every request was answered with success: {self:?}: {said}"
        );
        Ok(Figures {
            per_second: as_f64(requests) / (as_f64(microseconds) / 1e6),
            slowest_of_a_hundred: Duration::from_micros(percentile),
            bytes_each: bytes / requests,
        })
    }
}
