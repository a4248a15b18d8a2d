//! What the page and an answer of the API cost, from the request to the last byte, without a network between.

#![expect(clippy::print_stdout, reason = "the table is the product")]

mod measure;
#[path = "scrape/population.rs"]
mod population;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use http_body_util::BodyExt as _;
use hyper::{
    Method, Uri,
    header::{ACCEPT_ENCODING, HeaderMap, HeaderValue},
};
use iam_key_exporter::{
    clock::Clock,
    metrics::exposition::Exposer,
    web::routes::{Readiness, Routes, RoutesConfig},
};
use tokio::sync::watch;

use measure::{
    machine, median,
    table::{Table, mebibytes, target},
};

const KEYS: [usize; 3] = [1_000, 10_000, 100_000];
const ROUNDS: usize = 41;
const LONGEST: Duration = Duration::from_millis(100);

/// What is asked for: the first page, its filters and orders, the last page, and the API at its most.
const ASKED: [(&str, &str); 9] = [
    ("/", "identity"),
    ("/", "gzip"),
    ("/?user=ito&verdict=alarm", "identity"),
    ("/?step=deactivate&sort=last_used", "identity"),
    ("/?sort=user&order=desc", "identity"),
    ("/?sort=key", "identity"),
    ("/?page=LAST", "identity"),
    ("/api/v1/keys?limit=1000", "gzip"),
    ("/api/v1/status", "identity"),
];

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    println!("## Page\n\n{}", machine::describe());
    println!("The median and the slowest of {ROUNDS} requests, two keys a user, one account.");
    let mut table = Table::new(
        "One page",
        2,
        &["path", "encoding", "keys", "MiB", "ms", "slowest", "target"],
    );
    for keys in KEYS {
        let routes = routes(keys);
        for (path, encoding) in ASKED {
            let path = path.replace("LAST", &(keys / 50).to_string());
            let (times, bytes) = measure(&routes, &path, encoding).await?;
            let slowest = *times.iter().max().context("there are rounds")?;
            let middle = median(times);
            table.row([
                path,
                encoding.to_owned(),
                keys.to_string(),
                mebibytes(bytes),
                format!("{:.1}", middle.as_secs_f64() * 1e3),
                format!("{:.1}", slowest.as_secs_f64() * 1e3),
                target(middle < LONGEST, format!("< {}", LONGEST.as_millis())),
            ]);
        }
    }
    println!("{table}");
    Ok(())
}

fn routes(keys: usize) -> Routes {
    // A snapshot whose sender is gone stays as it is.
    let (_, snapshot) = watch::channel(Arc::new(population::snapshot(keys)));
    Routes::new(RoutesConfig {
        telemetry_path: "/metrics".parse().expect("the path is a telemetry path"),
        exposer: Exposer::new(Vec::new),
        probe: Arc::new(|| Readiness::Ready),
        snapshot,
        clock: Clock::Fixed(population::now()),
        page: true,
    })
}

/// The times of all rounds, and the size of the body.
async fn measure(
    routes: &Routes,
    path: &str,
    encoding: &'static str,
) -> anyhow::Result<(Vec<Duration>, u64)> {
    let uri: Uri = path.parse()?;
    let headers = HeaderMap::from_iter([(ACCEPT_ENCODING, HeaderValue::from_static(encoding))]);
    let mut times = Vec::new();
    let mut bytes = 0;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        let response = routes.respond(&Method::GET, &uri, &headers).await;
        ensure!(response.status() == 200, "{path}: {}", response.status());
        bytes = response.into_body().collect().await?.to_bytes().len();
        times.push(start.elapsed());
    }
    Ok((times, u64::try_from(bytes)?))
}
