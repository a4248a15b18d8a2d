//! Where the configuration file is.

use std::path::PathBuf;

/// Which configuration file to read.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Configuration")]
#[group(skip)]
pub struct Args {
    /// Configuration file: accounts, policy, exemptions and tags; see docs/configuration.md
    #[arg(
        long = "config.file",
        env = "IAM_KEY_EXPORTER_CONFIG_FILE",
        value_name = "FILE"
    )]
    pub file: Option<PathBuf>,
}
