//! The `iam-key-exporter` binary.

use std::process::ExitCode;

use clap::Parser;
use iam_key_exporter::{
    cli::{Cli, Exit},
    logging,
    serve::{ServeError, serve},
};

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let exit = if error.use_stderr() {
                Exit::Usage
            } else {
                Exit::Fine
            };
            // Nothing can be done about a standard stream that is gone.
            let _ = error.print();
            return exit.into();
        }
    };
    logging::start(cli.log);
    run(cli).into()
}

#[tokio::main]
async fn run(cli: Cli) -> Exit {
    match serve(cli).await {
        Ok(()) => Exit::Fine,
        Err(error @ (ServeError::Usage(_) | ServeError::Bind(_))) => {
            tracing::error!("{error}");
            Exit::Usage
        }
        Err(error) => {
            tracing::error!("{:#}", anyhow::Error::from(error));
            Exit::Internal
        }
    }
}
