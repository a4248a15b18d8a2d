//! The HTTP surface: the only module that knows `hyper`.
//!
//! [`server::bind`] turns listen addresses into a [`server::Bound`] server, which serves what
//! [`routes::Routes`] answers until it is told to stop.

mod answer;
mod api;
pub mod body;
pub mod config;
pub mod listen;
pub mod negotiation;
mod page;
pub mod reload;
pub mod routes;
pub mod server;

use hyper::Request;
use hyper::body::Incoming;

use listen::ListenAddress;
use routes::{Routes, TelemetryPath};
use server::Bound;

/// Answers requests by `routes` until `shutdown` is ready and the requests in flight are done.
pub async fn serve(bound: Bound, routes: Routes, shutdown: impl Future<Output = ()>) {
    let answer = move |request: Request<Incoming>| {
        let routes = routes.clone();
        async move {
            routes
                .respond(request.method(), request.uri(), request.headers())
                .await
        }
    };
    bound.run(answer, shutdown).await;
}

/// The command line's part about the web.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub struct Args {
    /// Address to listen on: `:PORT` for all interfaces over IPv4 and IPv6, `HOST:PORT`, `IPV4:PORT` or
    /// `[IPV6]:PORT`; give it again, or a list with commas, for more
    #[arg(
        long = "web.listen-address",
        env = "IAM_KEY_EXPORTER_WEB_LISTEN_ADDRESS",
        value_name = "ADDRESS",
        default_value = ":10114",
        value_delimiter = ',',
        help_heading = "Web"
    )]
    pub listen_addresses: Vec<ListenAddress>,

    /// Path that serves the metrics
    #[arg(
        long = "web.telemetry-path",
        env = "IAM_KEY_EXPORTER_WEB_TELEMETRY_PATH",
        value_name = "PATH",
        default_value = "/metrics",
        help_heading = "Web"
    )]
    pub telemetry_path: TelemetryPath,

    /// Serve no page and no API, only metrics and health checks
    #[arg(
        long = "web.disable-page",
        env = "IAM_KEY_EXPORTER_WEB_DISABLE_PAGE",
        help_heading = "Web"
    )]
    pub disable_page: bool,
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser};

    use super::*;

    #[derive(Debug, Parser)]
    #[command(name = "test")]
    struct Cli {
        #[command(flatten)]
        web: Args,
    }

    fn parse(arguments: &[&str]) -> Result<Args, String> {
        Cli::try_parse_from([&["test"], arguments].concat())
            .map(|cli| cli.web)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn defaults() {
        let args = parse(&[]).unwrap();
        assert_eq!(args.listen_addresses, [":10114".parse().unwrap()]);
        assert_eq!(args.telemetry_path.as_str(), "/metrics");
        assert!(!args.disable_page);
    }

    #[test]
    fn addresses_may_be_repeated_or_listed() {
        let args = parse(&[
            "--web.listen-address=127.0.0.1:1,[::1]:2",
            "--web.listen-address=localhost:3",
        ])
        .unwrap();
        let addresses: Vec<_> = args
            .listen_addresses
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(addresses, ["127.0.0.1:1", "[::1]:2", "localhost:3"]);
    }

    #[test]
    fn every_flag_has_its_environment_twin() {
        for argument in Cli::command().get_arguments() {
            let flag = argument
                .get_long()
                .unwrap()
                .to_uppercase()
                .replace(['.', '-'], "_");
            let twin = format!("IAM_KEY_EXPORTER_{flag}");
            assert_eq!(argument.get_env().unwrap(), twin.as_str());
            assert_eq!(argument.get_help_heading(), Some("Web"));
        }
    }

    #[test]
    fn mistakes_are_explained() {
        let error = parse(&["--web.listen-address=10114"]).unwrap_err();
        assert!(
            error.contains("no port; use :PORT for all interfaces"),
            "{error}"
        );
        let error = parse(&["--web.telemetry-path=metrics"]).unwrap_err();
        assert!(error.contains("must start with a single /"), "{error}");
    }
}
