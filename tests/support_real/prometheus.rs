//! A Prometheus with the configuration that is shipped, and promtool's opinion of a page of metrics.

use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use tempfile::TempDir;

use super::http;
use super::process::Process;
use super::tools;
use super::wait::wait_for;

/// How much sooner the alerts come and go in the tests: the 15 minutes for which most must hold are 12 seconds.
const SHORTENING: u32 = 75;

/// A running Prometheus that scrapes one target every second.
pub(crate) struct Prometheus {
    address: SocketAddr,
    // Before its directory, so that it ends before its files go.
    _process: Process,
    _data: TempDir,
}

/// One element of an instant vector.
#[derive(Debug)]
pub(crate) struct Element {
    labels: Value,
    /// When the value was true, in seconds since the epoch.
    pub(crate) at: f64,
    pub(crate) value: f64,
}

impl Element {
    /// The label's value; empty if there is none, which in Prometheus is the same.
    pub(crate) fn label(&self, name: &str) -> &str {
        self.labels[name].as_str().unwrap_or_default()
    }
}

impl Prometheus {
    /// Starts on the shipped configuration, changed in two places: the target's address and the interval. There are no
    /// rules beside it.
    pub(crate) fn scraping(target: SocketAddr) -> Self {
        Self::scraping_each(&[target])
    }

    /// The same with several targets in the one job.
    pub(crate) fn scraping_each(targets: &[SocketAddr]) -> Self {
        Self::start(&shipped_configuration(targets), None)
    }

    /// The same with the shipped rules, evaluated every second, and an Alertmanager that is told of alerts. The rules
    /// differ from the shipped ones in what [`shortened`] says.
    pub(crate) fn alerting(targets: &[SocketAddr], alertmanager: SocketAddr) -> Self {
        let config = shipped_configuration(targets);
        let config = replace_once(&config, "localhost:9093", &alertmanager.to_string());
        let config = replace_once(
            &config,
            "evaluation_interval: 60s",
            "evaluation_interval: 1s",
        );
        let rules = fs::read_to_string(tools::repository("deploy/prometheus/rules.yml"))
            .expect("the shipped rules are readable");
        Self::start(&config, Some(&shortened(&rules)))
    }

    /// Starts on a configuration whose paths are looked for in `folder`.
    pub(crate) fn configured(folder: &Path, config: &str) -> Self {
        let file = folder.join("prometheus.yml");
        fs::write(&file, config).expect("the folder is writable");
        let data = TempDir::new().expect("a temporary directory can be made");
        Self::launch(&file, data)
    }

    fn start(config: &str, rules: Option<&str>) -> Self {
        let data = TempDir::new().expect("a temporary directory can be made");
        let file = data.path().join("prometheus.yml");
        fs::write(&file, config).expect("the temporary directory is writable");
        if let Some(rules) = rules {
            fs::write(data.path().join("rules.yml"), rules)
                .expect("the temporary directory is writable");
        }
        Self::launch(&file, data)
    }

    fn launch(file: &Path, data: TempDir) -> Self {
        let process = Process::start(
            "prometheus",
            Command::new(tools::tool("prometheus"))
                .arg(format!("--config.file={}", file.display()))
                .arg(format!(
                    "--storage.tsdb.path={}",
                    data.path().join("data").display()
                ))
                .arg("--web.listen-address=127.0.0.1:0"),
        );
        Self {
            address: process.wait_for_listening_on(),
            _process: process,
            _data: data,
        }
    }

    /// Asks until `accept` takes the answer to the query.
    pub(crate) async fn query_until<T>(
        &self,
        query: &str,
        accept: impl Fn(&[Element]) -> Option<T>,
    ) -> T {
        wait_for(query, async || {
            let elements = self.query(query).await?;
            accept(&elements).ok_or_else(|| format!("{elements:?}"))
        })
        .await
    }

    /// The instant vector that the query gives now.
    pub(crate) async fn query(&self, query: &str) -> Result<Vec<Element>, String> {
        let query = utf8_percent_encode(query, NON_ALPHANUMERIC);
        let json = self.ask(&format!("/api/v1/query?query={query}")).await?;
        json["data"]["result"]
            .as_array()
            .ok_or_else(|| format!("not an instant vector: {json}"))?
            .iter()
            .map(|element| {
                let value = &element["value"];
                Ok(Element {
                    labels: element["metric"].clone(),
                    at: value[0].as_f64().ok_or("no instant")?,
                    value: value[1]
                        .as_str()
                        .and_then(|value| value.parse().ok())
                        .ok_or("no value")?,
                })
            })
            .collect()
    }

    /// What Prometheus has against its only target; empty if nothing.
    pub(crate) async fn last_error(&self) -> String {
        wait_for("a scraped target", async || {
            let json = self.ask("/api/v1/targets?state=active").await?;
            let target = &json["data"]["activeTargets"][0];
            if target["health"] == "unknown" {
                return Err(json.to_string());
            }
            target["lastError"]
                .as_str()
                .map(str::to_owned)
                .ok_or_else(|| json.to_string())
        })
        .await
    }

    /// What the API answers at a path, or why it doesn't.
    pub(crate) async fn ask(&self, path: &str) -> Result<Value, String> {
        let answer = http::get(self.address, path, &[]).await?.ok()?;
        serde_json::from_str(&answer.body).map_err(|error| error.to_string())
    }
}

/// The complaints of `promtool check metrics` about a page in the text format, one a line.
pub(crate) fn check_metrics(page: &str) -> Vec<String> {
    let mut child = Command::new(tools::tool("promtool"))
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool is there and starts");
    // It may stop reading at a page that it cannot parse; its complaints tell of that.
    let _ = child
        .stdin
        .take()
        .expect("standard input is piped")
        .write_all(page.as_bytes());
    let output = child.wait_with_output().expect("promtool ends");
    let complaints: Vec<String> = [output.stdout, output.stderr]
        .iter()
        .flat_map(|stream| {
            String::from_utf8_lossy(stream)
                .lines()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        })
        .collect();
    assert!(
        output.status.success() || !complaints.is_empty(),
        "promtool failed without a word: {}",
        output.status
    );
    complaints
}

fn shipped_configuration(targets: &[SocketAddr]) -> String {
    let shipped = fs::read_to_string(tools::repository("deploy/prometheus/prometheus.yml"))
        .expect("the shipped configuration is readable");
    let targets: Vec<_> = targets.iter().map(|target| format!("'{target}'")).collect();
    let config = replace_once(
        &shipped,
        "- targets:\n          - localhost:10114",
        &format!("- targets: [{}]", targets.join(", ")),
    );
    replace_once(&config, "scrape_interval: 60s", "scrape_interval: 1s")
}

/// The rules with each `for` and `keep_firing_for` a [`SHORTENING`]th as long, so that they stay in proportion.
fn shortened(rules: &str) -> String {
    let line = |line: &str| {
        let (name, duration) = line.split_once(": ")?;
        if !["for", "keep_firing_for"].contains(&name.trim_start()) {
            return None;
        }
        let duration = humantime::parse_duration(duration).expect("a rule waits for a duration");
        Some(format!("{name}: {}s", (duration / SHORTENING).as_secs()))
    };
    rules
        .lines()
        .map(|text| line(text).unwrap_or_else(|| text.to_owned()) + "\n")
        .collect()
}

pub(super) fn replace_once(text: &str, from: &str, to: &str) -> String {
    assert_eq!(
        text.matches(from).count(),
        1,
        "the shipped configuration should say {from:?} once:\n{text}"
    );
    text.replace(from, to)
}
