//! Logs on standard error, as logfmt or JSON.

use tracing::Level;
use tracing_subscriber::{
    Layer, filter::Targets, fmt, layer::SubscriberExt, util::SubscriberInitExt,
};

use crate::cli::one_of;

/// What is logged, and how.
#[derive(Debug, Clone, Copy, clap::Args)]
#[command(next_help_heading = "Logging")]
#[group(skip)]
pub struct Args {
    /// Least severe level to log
    #[arg(long = "log.level", env = "IAM_KEY_EXPORTER_LOG_LEVEL", value_name = "LEVEL",
        default_value = "info", value_parser = one_of(&LEVELS))]
    pub level: Level,

    /// Format of log lines
    #[arg(long = "log.format", env = "IAM_KEY_EXPORTER_LOG_FORMAT", value_name = "FORMAT",
        default_value = "logfmt", value_parser = one_of(&Format::ALL))]
    pub format: Format,
}

impl Default for Args {
    fn default() -> Self {
        Self {
            level: Level::INFO,
            format: Format::Logfmt,
        }
    }
}

const LEVELS: [(&str, Level); 4] = [
    ("error", Level::ERROR),
    ("warn", Level::WARN),
    ("info", Level::INFO),
    ("debug", Level::DEBUG),
];

/// The formats of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// `key=value` pairs.
    Logfmt,
    /// One JSON object a line.
    Json,
}

impl Format {
    const ALL: [(&'static str, Self); 2] = [("logfmt", Self::Logfmt), ("json", Self::Json)];
}

/// Starts logging for the whole process.
pub fn start(args: Args) {
    let Args { level, format } = args;
    // Other crates never log below ERROR: the SDK's debug output holds requests with their session
    // tokens, and its warnings repeat at every refresh what the refresh says once.
    let filter = Targets::new()
        .with_default(Level::ERROR)
        .with_target(env!("CARGO_CRATE_NAME"), level);
    let lines = match format {
        Format::Logfmt => tracing_logfmt::builder()
            .with_target(false)
            .layer()
            .with_writer(std::io::stderr)
            .boxed(),
        Format::Json => fmt::layer()
            .json()
            .flatten_event(true)
            .with_target(false)
            .with_writer(std::io::stderr)
            .boxed(),
    };
    tracing_subscriber::registry()
        .with(lines.with_filter(filter))
        .init();
}
