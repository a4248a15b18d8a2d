//! The binary under test.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use aws_sdk_iam::config::Credentials;

use super::exposition::Metrics;
use super::http::{self, Answer};
use super::moto::Moto;
use super::process::Process;
use super::wait::wait_for;

/// What `--aws.strategy` takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Strategy {
    List,
    Report,
    Auto,
}

impl Strategy {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::List => "list",
            Self::Report => "report",
            Self::Auto => "auto",
        }
    }
}

/// A running exporter.
pub(crate) struct Exporter {
    address: SocketAddr,
    _process: Process,
}

impl Exporter {
    /// Starts on moto with the credentials, and returns when it listens.
    pub(crate) fn start(moto: &Moto, strategy: Strategy, credentials: &Credentials) -> Self {
        Self::launch(
            format!("the exporter with {}", strategy.name()),
            Command::new(env!("CARGO_BIN_EXE_iam-key-exporter"))
                // Nothing of the developer's own AWS set-up may be seen.
                .env_clear()
                .env("AWS_CONFIG_FILE", "/dev/null")
                .env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
                .env("AWS_EC2_METADATA_DISABLED", "true")
                .env("AWS_REGION", "us-east-1")
                .env("AWS_ENDPOINT_URL", moto.endpoint())
                .env("AWS_ACCESS_KEY_ID", credentials.access_key_id())
                .env("AWS_SECRET_ACCESS_KEY", credentials.secret_access_key())
                .arg(format!("--aws.strategy={}", strategy.name())),
        )
    }

    /// Starts on a credential report in a file, and returns when it listens.
    pub(crate) fn reading(report: &Path) -> Self {
        Self::launch(
            "the exporter with a report".to_owned(),
            Command::new(env!("CARGO_BIN_EXE_iam-key-exporter"))
                .env_clear()
                .arg(format!("--source=report:{}", report.display())),
        )
    }

    /// Starts on the demo, and returns when it listens.
    pub(crate) fn demo() -> Self {
        Self::launch(
            "the exporter with the demo".to_owned(),
            Command::new(env!("CARGO_BIN_EXE_iam-key-exporter"))
                .env_clear()
                .arg("--source=demo"),
        )
    }

    fn launch(name: String, command: &mut Command) -> Self {
        let process = Process::start(name, command.arg("--web.listen-address=127.0.0.1:0"));
        let address = process.wait_for_line("address", |line| {
            if !line.contains("listening") {
                return None;
            }
            let rest = line.split_once("address=")?.1;
            rest.split_whitespace()
                .next()?
                .trim_matches('"')
                .parse()
                .ok()
        });
        Self {
            address,
            _process: process,
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns when the first refresh is in.
    pub(crate) async fn ready(&self) {
        wait_for("the exporter to be ready", async || {
            http::get(self.address, "/-/ready", &[])
                .await?
                .ok()
                .map(drop)
        })
        .await;
    }

    /// One scrape, with this Accept header.
    pub(crate) async fn scrape(&self, accept: &str) -> Answer {
        http::get(self.address, "/metrics", &[("accept", accept)])
            .await
            .and_then(Answer::ok)
            .expect("the exporter answers a scrape")
    }

    /// One scrape, parsed.
    pub(crate) async fn metrics(&self) -> Metrics {
        Metrics::parse(&self.scrape("text/plain").await)
    }
}
