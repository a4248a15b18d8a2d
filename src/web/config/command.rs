//! `web-config check`: the file as the daemon would read it.

use std::io::{self, Write};
use std::path::PathBuf;

use hyper::header::HeaderName;

use super::{WebConfig, validate};
use crate::yaml::FileError;

/// What can be done with a web configuration file.
#[derive(Debug, Clone, clap::Subcommand)]
pub enum Command {
    /// Validate a web configuration file as serving would, print what it says and exit
    ///
    /// The certificates and keys that it names are read too.
    ///
    /// Exit status: 0 valid, 64 not valid.
    Check(CheckArgs),
}

/// Which file to check.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
pub struct CheckArgs {
    /// The web configuration file, as given to --web.config.file
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
}

/// Validates the file and writes what it says.
///
/// # Errors
/// Says in one line what is wrong with the file; the inner result is that of writing.
pub fn check(args: &CheckArgs, out: &mut impl Write) -> Result<io::Result<()>, FileError> {
    let config = validate(&args.file)?;
    let text = format!("{} is valid\n{}", args.file.display(), said(&config));
    Ok(out.write_all(text.as_bytes()).and_then(|()| out.flush()))
}

/// What the configuration says, a line for each section.
fn said(config: &WebConfig) -> String {
    let WebConfig {
        tls,
        headers,
        users,
        rate_limit,
    } = config;
    let tls = tls
        .as_ref()
        .map_or_else(|| "off".to_owned(), |tls| tls.summary().to_owned());
    let headers = if headers.is_empty() {
        "none".to_owned()
    } else {
        let names: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        names.join(", ")
    };
    let users = match users.len() {
        0 => "none; no login is asked for".to_owned(),
        number => number.to_string(),
    };
    let rate_limit = rate_limit.map_or_else(
        || "none".to_owned(),
        |limit| {
            let interval = humantime::format_duration(limit.interval);
            format!("one request each {interval}, {} at once", limit.burst)
        },
    );
    format!("tls: {tls}\nheaders: {headers}\nusers: {users}\nrate limit: {rate_limit}\n")
}
