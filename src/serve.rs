//! The daemon: everything wired together, and the only place that spawns what lives long.

use std::{sync::Arc, time::Duration};

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::watch,
    task::{JoinError, JoinSet},
    time::Instant,
};

use crate::{
    cli::{MetricsArgs, PolicyArgs, StopSignal},
    config,
    counts::{RefreshCounts, RequestCounts},
    logging,
    metrics::{
        self,
        exporter::{REVISION, VERSION},
    },
    refresh::{self, Refresher},
    snapshot::Snapshot,
    source::{self, Source, UsageError},
    web::{
        self, Reload, StartError,
        routes::{Probe, Readiness, Routes, RoutesConfig},
    },
};

/// How the daemon serves.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub struct Args {
    /// Which configuration file to read.
    #[command(flatten)]
    pub config: config::Args,
    /// Which source to read.
    #[command(flatten)]
    pub source: source::Args,
    /// The thresholds.
    #[command(flatten)]
    pub policy: PolicyArgs,
    /// When to refresh.
    #[command(flatten)]
    pub refresh: refresh::Args,
    /// What the metrics show.
    #[command(flatten)]
    pub metrics: MetricsArgs,
    /// Where to serve.
    #[command(flatten)]
    pub web: web::Args,
    /// What is logged.
    #[command(flatten)]
    pub log: logging::Args,
}

/// Why the daemon could not start or go on.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// A setting can't be used.
    #[error(transparent)]
    Usage(#[from] UsageError),
    /// Nothing can be served.
    #[error(transparent)]
    Web(#[from] StartError),
    /// The operating system refused to tell of signals.
    #[error("signals can't be handled")]
    Signals(#[source] std::io::Error),
    /// A part of the daemon ended by itself, which it never should.
    #[error("{0} ended unexpectedly")]
    Died(String),
    /// A second signal came before everything was finished.
    #[error("aborted by a second signal, {}", .0.name())]
    Aborted(StopSignal),
}

/// Serves until SIGTERM or SIGINT; a second one aborts.
pub async fn serve(args: Args) -> Result<(), ServeError> {
    let Args {
        config,
        source,
        policy,
        refresh,
        metrics: MetricsArgs { access_key_id },
        web,
        log: _,
    } = args;
    let config = config::load(config.file.as_deref(), policy).map_err(UsageError::from)?;
    let clock = source.clock()?;
    let requests = Arc::new(RequestCounts::default());
    let counts = Arc::new(RefreshCounts::default());
    let source = Source::new(
        source,
        clock,
        &config,
        refresh.interval,
        Arc::clone(&requests),
    )?;
    let config = config.with_those_of(&source);
    let before = Snapshot {
        tags: config.tags,
        ..Snapshot::before_first_refresh(config.policy, access_key_id, refresh.interval)
    };
    let (publish, snapshot) = watch::channel(Arc::new(before));

    let mut signals = Signals::new().map_err(ServeError::Signals)?;
    let bound = web::bind(&web).await?;
    tracing::info!(version = VERSION, revision = REVISION, "started");
    bound.announce();

    let (stop, stopped) = watch::channel(());
    let mut tasks = JoinSet::new();
    let exposer = metrics::exposer(snapshot.clone(), clock, requests, Arc::clone(&counts));
    let routes = Routes::new(RoutesConfig {
        telemetry_path: web.telemetry_path,
        exposer,
        probe: probe(snapshot.clone()),
        snapshot,
        clock,
        page: !web.disable_page,
    });
    let (reload, _requests) = Reload::channel();
    let reload = web.enable_lifecycle.then_some(reload);
    tasks.spawn(async move {
        bound.serve(routes, reload, until_dropped(stopped)).await;
        "the web server"
    });
    let refresher = Refresher::new(source, clock, refresh, counts, publish);
    let refreshing = tasks.spawn(async move {
        refresher.run().await;
        "the refresher"
    });

    tokio::select! {
        signal = signals.next() => tracing::info!(signal = signal.name(), "stopping"),
        Some(ended) = tasks.join_next() => return Err(died(ended)),
    }
    refreshing.abort();
    drop(stop);
    tokio::select! {
        () = join_all(&mut tasks) => tracing::info!("stopped"),
        signal = signals.second() => return Err(ServeError::Aborted(signal)),
    }
    Ok(())
}

/// Tells whether the snapshot has something true to serve.
fn probe(snapshot: watch::Receiver<Arc<Snapshot>>) -> Probe {
    Arc::new(move || {
        let snapshot = snapshot.borrow();
        if snapshot.is_ready() {
            Readiness::Ready
        } else if snapshot.tried {
            Readiness::NotReady("no account could be read yet".into())
        } else {
            Readiness::NotReady("the first refresh is under way".into())
        }
    })
}

/// Waits until the other end of the channel is gone.
async fn until_dropped(mut stopped: watch::Receiver<()>) {
    while stopped.changed().await.is_ok() {}
}

/// Waits for every task that is left.
async fn join_all(tasks: &mut JoinSet<&'static str>) {
    while tasks.join_next().await.is_some() {}
}

/// What became of a task that should have gone on.
fn died(ended: Result<&'static str, JoinError>) -> ServeError {
    match ended {
        Ok(name) => ServeError::Died(name.to_owned()),
        Err(error) => ServeError::Died(format!("a task ({error})")),
    }
}

/// How long after a signal another one means the same. `timeout` of coreutils, for one, signals the
/// process and then its whole group; nobody changes their mind that fast.
const ECHO: Duration = Duration::from_millis(200);

/// The signals that end the process.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// The next one that is meant as a second: an echo of the one just received is not.
    async fn second(&mut self) -> StopSignal {
        let first = Instant::now();
        loop {
            let signal = self.next().await;
            if first.elapsed() >= ECHO {
                return signal;
            }
        }
    }

    /// The next one.
    async fn next(&mut self) -> StopSignal {
        tokio::select! {
            _ = self.terminate.recv() => StopSignal::Terminate,
            _ = self.interrupt.recv() => StopSignal::Interrupt,
        }
    }
}
