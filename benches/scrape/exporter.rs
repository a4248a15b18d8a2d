//! The exporter as it is, over made-up keys.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use iam_key_exporter::{
    clock::Clock,
    config::Reloads,
    counts::{RefreshCounts, RequestCounts},
    metrics::{self, exposition::Exposer},
    snapshot::Snapshot,
    web::{
        routes::{Readiness, Routes, RoutesConfig},
        server::{self, Limits},
    },
};
use tokio::sync::watch;

use super::{
    client::Kind,
    measure::{
        child::{Process, settle},
        median,
    },
    population, until_stdin_ends,
};

/// The role of a process that serves so many keys.
#[tokio::main]
pub(crate) async fn serve(keys: usize) -> anyhow::Result<()> {
    let snapshot = snapshot(keys);
    let routes = Routes::new(RoutesConfig {
        telemetry_path: "/metrics".parse().expect("the path is a telemetry path"),
        exposer: exposer(snapshot.clone()),
        probe: Arc::new(|| Readiness::Ready),
        snapshot,
        clock: Clock::Fixed(population::now()),
        page: true,
    });
    let listen = "127.0.0.1:0".parse().expect("the address is an address");
    let bound = server::bind(&[listen], Limits::default()).await?;
    println!("{}", bound.addresses()[0].port());
    let ended = tokio::task::spawn_blocking(until_stdin_ends);
    let answer = move |request: hyper::Request<hyper::body::Incoming>| {
        let routes = routes.clone();
        async move {
            let (head, _) = request.into_parts();
            routes.respond(&head.method, &head.uri, &head.headers).await
        }
    };
    bound.run(answer, async { drop(ended.await) }).await;
    Ok(())
}

/// What rendering takes by itself.
pub(crate) struct Render {
    pub(crate) time: Duration,
    pub(crate) bytes: u64,
}

/// The role of a process that renders so many keys in each kind, without a server.
#[tokio::main(flavor = "current_thread")]
pub(crate) async fn time_renders(keys: usize) -> anyhow::Result<()> {
    let exposer = exposer(snapshot(keys));
    for kind in Kind::ALL {
        let began = Instant::now();
        let mut times = Vec::new();
        let mut bytes = 0;
        while times.len() < 5 || (times.len() < 101 && began.elapsed() < Duration::from_secs(1)) {
            let start = Instant::now();
            let exposition = exposer.scrape(kind.format, kind.encoding).await?;
            exposition.ended().await?;
            times.push(start.elapsed());
            bytes = exposition.len().context("it has ended")?;
            // Or else the next scrape may be given the same body.
            drop(exposition);
            settle("self")?;
        }
        println!("{} {bytes}", median(times).as_nanos());
    }
    until_stdin_ends();
    Ok(())
}

/// A snapshot whose sender is gone stays as it is.
fn snapshot(keys: usize) -> watch::Receiver<Arc<Snapshot>> {
    watch::channel(Arc::new(population::snapshot(keys))).1
}

fn exposer(snapshot: watch::Receiver<Arc<Snapshot>>) -> Exposer {
    metrics::exposer(
        snapshot,
        Clock::Fixed(population::now()),
        Arc::new(RequestCounts::default()),
        Arc::new(RefreshCounts::default()),
        None,
        Reloads::started(population::now()),
    )
}

/// What rendering so many keys takes, for each of [`Kind::ALL`].
pub(crate) fn renders(keys: usize) -> anyhow::Result<Vec<Render>> {
    let mut process = Process::role(["render", &keys.to_string()], &[])?;
    let mut render = || {
        let line = process.line()?;
        let (nanoseconds, bytes) = line.split_once(' ').context("two numbers are missing")?;
        Ok(Render {
            time: Duration::from_nanos(nanoseconds.parse()?),
            bytes: bytes.parse()?,
        })
    };
    Kind::ALL.iter().map(|_| render()).collect()
}
