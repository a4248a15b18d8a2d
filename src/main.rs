//! The `iam-key-exporter` binary.

use std::process::ExitCode;

use iam_key_exporter::{
    cli::{Cli, Exit, unknown_variables},
    logging,
    serve::{ServeError, serve},
};
use tokio::runtime::Runtime;

fn main() -> ExitCode {
    let cli = match Cli::read() {
        Ok(cli) => cli,
        Err(error) => {
            // Nothing can be done about a standard stream that is gone.
            let _ = error.print();
            return Exit::from(&error).into();
        }
    };
    logging::start(cli.log);
    for variable in unknown_variables() {
        tracing::warn!(
            variable,
            "no flag has this environment variable; see --help"
        );
    }
    run(cli).into()
}

fn run(cli: Cli) -> Exit {
    let runtime = match Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!("threads cannot be started: {error}");
            return Exit::Internal;
        }
    };
    let result = runtime.block_on(serve(cli));
    // A blocking read, of a pipe that nobody writes to for instance, must not hold up the exit.
    runtime.shutdown_background();
    match result {
        Ok(()) => Exit::Fine,
        Err(error) => {
            let exit = match &error {
                ServeError::Usage(_) | ServeError::Bind(_) => Exit::Usage,
                ServeError::Aborted(signal) => Exit::Aborted(*signal),
                ServeError::Signals(_) | ServeError::Died(_) => Exit::Internal,
            };
            tracing::error!("{:#}", anyhow::Error::from(error));
            exit
        }
    }
}
