//! The exporter with all that is before its answers, over made-up keys.

use std::sync::Arc;

use anyhow::Context as _;
use clap::Parser;
use iam_key_exporter::{
    clock::Clock,
    config::Reloads,
    counts::{RefreshCounts, RequestCounts},
    metrics,
    web::{
        self,
        routes::{Readiness, Routes, RoutesConfig},
    },
};
use tokio::sync::watch;

use super::{KEYS, population, until_stdin_ends};

/// The flags of the web, as the command line has them.
#[derive(Debug, Parser)]
struct Flags {
    #[command(flatten)]
    web: web::Args,
}

/// The role of a process that serves, by a web configuration if there is one.
#[tokio::main]
pub(crate) async fn serve(config: Option<&str>) -> anyhow::Result<()> {
    let mut flags = vec![
        "web",
        "--web.listen-address=127.0.0.1:0",
        "--web.max-requests=0",
    ];
    flags.extend(
        config
            .iter()
            .flat_map(|config| ["--web.config.file", config]),
    );
    let Flags { web: flags } = Flags::try_parse_from(flags)?;
    // A snapshot whose sender is gone stays as it is.
    let (_, snapshot) = watch::channel(Arc::new(population::snapshot(KEYS)));
    let clock = Clock::Fixed(population::now());
    let exposer = metrics::exposer(
        snapshot.clone(),
        clock,
        Arc::new(RequestCounts::default()),
        Arc::new(RefreshCounts::default()),
        None,
        Reloads::started(population::now()),
    );
    let bound = web::bind(&flags).await?;
    let address = bound.addresses();
    println!("{}", address.first().context("it listens nowhere")?.port());
    let routes = Routes::new(RoutesConfig {
        telemetry_path: flags.telemetry_path,
        exposer,
        probe: Arc::new(|| Readiness::Ready),
        snapshot,
        clock,
        page: true,
    });
    let ended = tokio::task::spawn_blocking(until_stdin_ends);
    bound.serve(routes, None, async { drop(ended.await) }).await;
    Ok(())
}
