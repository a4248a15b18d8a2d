//! The binary under test.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;

use aws_sdk_iam::config::Credentials;
use tokio::net::TcpSocket;

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

/// An address that exporters can listen on one after another, as they do when one is restarted.
pub(crate) struct Place {
    address: SocketAddr,
    /// Bound and never listening: so the port is given to nobody who leaves the choice to the system, and is still free
    /// for the exporter, who asks for it by number.
    _reservation: TcpSocket,
}

impl Place {
    pub(crate) fn reserve() -> Self {
        let socket = TcpSocket::new_v4().expect("the system has sockets");
        socket
            .set_reuseaddr(true)
            .expect("the system knows the option");
        socket.bind(ANY_PORT).expect("the system has a free port");
        Self {
            address: socket.local_addr().expect("a bound socket has an address"),
            _reservation: socket,
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

const ANY_PORT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

impl Exporter {
    /// Starts on moto with the credentials, and returns when it listens.
    pub(crate) fn start(moto: &Moto, strategy: Strategy, credentials: &Credentials) -> Self {
        Self::launch(
            format!("the exporter with {}", strategy.name()),
            on_moto(moto, credentials).arg(format!("--aws.strategy={}", strategy.name())),
            ANY_PORT,
        )
    }

    /// Starts on moto as it does on AWS by default, save that it refreshes as often as it can.
    pub(crate) fn start_at(place: &Place, moto: &Moto) -> Self {
        Self::launch(
            "the exporter on moto".to_owned(),
            on_moto(moto, &Moto::anyone()).arg("--refresh.interval=10s"),
            place.address,
        )
    }

    /// Starts on moto with a configuration file, refreshing as often as it can, and returns when it listens.
    pub(crate) fn configured(moto: &Moto, strategy: Strategy, config: &Path) -> Self {
        Self::launch(
            "the exporter with a configuration file".to_owned(),
            on_moto(moto, &Moto::anyone())
                .args(["--refresh.interval=10s", "--web.enable-lifecycle"])
                .arg(format!("--aws.strategy={}", strategy.name()))
                .arg(format!("--config.file={}", config.display())),
            ANY_PORT,
        )
    }

    /// Starts on a credential report in a file, and returns when it listens.
    pub(crate) fn reading(report: &Path) -> Self {
        Self::with_source(&format!("report:{}", report.display()), ANY_PORT)
    }

    /// The same, at a place of the test's choice.
    pub(crate) fn reading_at(place: &Place, report: &Path) -> Self {
        Self::with_source(&format!("report:{}", report.display()), place.address)
    }

    /// Starts on the demo, at a place of the test's choice.
    pub(crate) fn demo_at(place: &Place) -> Self {
        Self::with_source("demo", place.address)
    }

    fn with_source(source: &str, address: SocketAddr) -> Self {
        Self::launch(
            format!("the exporter with {source}"),
            Command::new(env!("CARGO_BIN_EXE_iam-key-exporter"))
                .env_clear()
                .arg(format!("--source={source}")),
            address,
        )
    }

    /// Starts on the demo, and returns when it listens.
    pub(crate) fn demo() -> Self {
        Self::with_source("demo", ANY_PORT)
    }

    fn launch(name: String, command: &mut Command, address: SocketAddr) -> Self {
        let process = Process::start(name, command.arg(format!("--web.listen-address={address}")));
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

    /// Lets it read its configuration again, and returns when it has taken that.
    pub(crate) async fn reload(&self) {
        http::post(self.address, "/-/reload", "text/plain", String::new())
            .await
            .and_then(Answer::ok)
            .expect("the exporter reloads");
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

/// The binary, with moto as AWS and these credentials.
fn on_moto(moto: &Moto, credentials: &Credentials) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_iam-key-exporter"));
    command
        // Nothing of the developer's own AWS set-up may be seen.
        .env_clear()
        .env("AWS_CONFIG_FILE", "/dev/null")
        .env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("AWS_REGION", "us-east-1")
        .env("AWS_ENDPOINT_URL", moto.endpoint())
        .env("AWS_ACCESS_KEY_ID", credentials.access_key_id())
        .env("AWS_SECRET_ACCESS_KEY", credentials.secret_access_key());
    command
}
