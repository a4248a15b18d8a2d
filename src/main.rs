//! The `iam-key-exporter` binary.

use std::{io::Write, process::ExitCode};

use iam_key_exporter::{
    check::{self, CheckError},
    cli::{Cli, Command, Exit, unknown_variables},
    clock::Clock,
    config,
    dashboards::{self, DASHBOARDS},
    logging,
    plan::{self, PlanError},
    rules,
    serve::{self, ServeError, serve},
    source::UsageError,
    web,
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
    logging::start(cli.log());
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
    let exit = match cli.command {
        Some(Command::Check(args)) => runtime.block_on(checked(*args)),
        Some(Command::Plan(args)) => runtime.block_on(planned(*args)),
        Some(Command::Config(config::Command::Check(args))) => validated(&args),
        Some(Command::WebConfig(web::config::Command::Check(args))) => web_validated(&args),
        Some(Command::Rules(args)) => printed(rules::print(args, &mut std::io::stdout().lock())),
        Some(Command::Dashboards(args)) => written(&args),
        None => runtime.block_on(served(cli.serve)),
    };
    // A blocking read, of a pipe that nobody writes to for instance, must not hold up the exit.
    runtime.shutdown_background();
    exit
}

async fn served(args: serve::Args) -> Exit {
    match serve(args).await {
        Ok(()) => Exit::Fine,
        Err(error) => {
            let exit = match &error {
                ServeError::Usage(_) | ServeError::Storage(_) | ServeError::Web(_) => Exit::Usage,
                ServeError::Aborted(signal) => Exit::Aborted(*signal),
                ServeError::Signals(_) | ServeError::Died(_) => Exit::Internal,
            };
            tracing::error!("{:#}", anyhow::Error::from(error));
            exit
        }
    }
}

async fn checked(args: check::Args) -> Exit {
    check::run(args).await.unwrap_or_else(|error| {
        let exit = match &error {
            CheckError::Usage(_) => Exit::Usage,
            CheckError::Print(_) | CheckError::Export(_) => Exit::Internal,
        };
        tracing::error!("{:#}", anyhow::Error::from(error));
        exit
    })
}

async fn planned(args: plan::Args) -> Exit {
    plan::run(args).await.unwrap_or_else(|error| {
        let exit = match &error {
            PlanError::Usage(_) => Exit::Usage,
            PlanError::Print(_) => Exit::Internal,
        };
        tracing::error!("{:#}", anyhow::Error::from(error));
        exit
    })
}

fn validated(args: &config::CheckArgs) -> Exit {
    match config::check(args, Clock::System.now(), &mut std::io::stdout().lock()) {
        Ok(result) => printed(result),
        Err(error) => {
            // As compilers do, so that editors find the place. Nothing can be done about a standard
            // stream that is gone.
            let _ = writeln!(std::io::stderr(), "{}", UsageError::from(error));
            Exit::Usage
        }
    }
}

fn web_validated(args: &web::config::CheckArgs) -> Exit {
    match web::config::check(args, &mut std::io::stdout().lock()) {
        Ok(result) => printed(result),
        Err(error) => {
            // Nothing can be done about a standard stream that is gone.
            let _ = writeln!(std::io::stderr(), "{:#}", anyhow::Error::from(error));
            Exit::Usage
        }
    }
}

/// What became of something printed on standard output.
fn printed(result: std::io::Result<()>) -> Exit {
    match result {
        Ok(()) => Exit::Fine,
        // The reader has had enough, as `head` has.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Exit::Fine,
        Err(error) => {
            tracing::error!("standard output cannot be written: {error}");
            Exit::Internal
        }
    }
}

fn written(args: &dashboards::Args) -> Exit {
    match dashboards::write(&args.directory, &DASHBOARDS) {
        Ok(paths) => {
            for path in paths {
                tracing::info!(path = %path.display(), "written");
            }
            Exit::Fine
        }
        Err(error) => {
            tracing::error!("{:#}", anyhow::Error::from(error));
            Exit::Usage
        }
    }
}
