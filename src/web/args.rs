//! The command line's part about the web.

use std::path::PathBuf;

use crate::cli::whole_number;

use super::{listen::ListenAddress, routes::TelemetryPath};

/// More at a time than this is no limit.
const MOST_REQUESTS: usize = 1_000_000;

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

    /// Listen on the sockets that systemd passes on, instead of addresses of its own
    #[arg(
        long = "web.systemd-socket",
        env = "IAM_KEY_EXPORTER_WEB_SYSTEMD_SOCKET",
        conflicts_with = "listen_addresses",
        help_heading = "Web"
    )]
    pub systemd_socket: bool,

    /// Address that serves the health checks alone, without TLS and to everybody; given as with
    /// --web.listen-address
    #[arg(
        long = "web.probe-listen-address",
        env = "IAM_KEY_EXPORTER_WEB_PROBE_LISTEN_ADDRESS",
        value_name = "ADDRESS",
        value_delimiter = ',',
        help_heading = "Web"
    )]
    pub probe_listen_addresses: Vec<ListenAddress>,

    /// File that says how to speak TLS, who may log in, and which headers to add
    #[arg(
        long = "web.config.file",
        env = "IAM_KEY_EXPORTER_WEB_CONFIG_FILE",
        value_name = "FILE",
        help_heading = "Web"
    )]
    pub config_file: Option<PathBuf>,

    /// Most scrapes at a time; more are answered with status 503, and 0 is no limit
    #[arg(
        long = "web.max-requests",
        env = "IAM_KEY_EXPORTER_WEB_MAX_REQUESTS",
        value_name = "NUMBER",
        default_value_t = 40,
        value_parser = whole_number(0..=MOST_REQUESTS),
        allow_negative_numbers = true,
        help_heading = "Web"
    )]
    pub max_requests: usize,

    /// Reload the configuration when asked by POST or PUT at /-/reload
    #[arg(
        long = "web.enable-lifecycle",
        env = "IAM_KEY_EXPORTER_WEB_ENABLE_LIFECYCLE",
        help_heading = "Web"
    )]
    pub enable_lifecycle: bool,

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
