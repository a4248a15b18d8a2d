//! The daemon: everything wired together, and the only place that spawns what lives long.

mod reload;
mod signals;

use std::sync::Arc;

use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
    task::{JoinError, JoinSet},
};

use self::{reload::Reloader, signals::StopSignals};
use crate::{
    cli::{MetricsArgs, PolicyArgs, StopSignal},
    clock::Clock,
    config::{self, OfSource, Reloads},
    counts::{RefreshCounts, RequestCounts, StorageCounts},
    logging,
    metrics::{
        self,
        exporter::{REVISION, VERSION},
    },
    refresh::{self, Refresher},
    snapshot::Snapshot,
    source::{self, Source, UsageError},
    storage::{self, Storage, StorageError},
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
    /// What is kept over a restart.
    #[command(flatten)]
    pub storage: storage::Args,
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
    /// The path to keep things at can't be used.
    #[error(transparent)]
    Storage(#[from] StorageError),
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
        storage: storage::Args { path },
        metrics: MetricsArgs { access_key_id },
        web,
        log: _,
    } = args;
    let hangups = signal(SignalKind::hangup()).map_err(ServeError::Signals)?;
    let file = config.file;
    let config = config::load(file.as_deref(), policy).map_err(UsageError::from)?;
    let reloads = Reloads::started(Clock::System.now());
    let clock = source.clock()?;
    let choice = source.source.clone();
    let requests = Arc::new(RequestCounts::default());
    let counts = Arc::new(RefreshCounts::default());
    let interval = refresh.interval;
    let source = Source::new(source, clock, &config, interval, Arc::clone(&requests))?;
    let of_source = OfSource::from(&source);
    let config = Arc::new(config.with(&of_source));
    let before = Snapshot {
        tags: Arc::clone(&config.tags),
        ..Snapshot::before_first_refresh(Arc::clone(&config.policy), access_key_id, interval)
    };
    let (publish, snapshot) = watch::channel(Arc::new(before));
    let (configure, configs) = watch::channel(config);
    let mut refresher = Refresher::new(
        source,
        configs,
        clock,
        refresh,
        Arc::clone(&counts),
        publish,
    );
    let saves = path.as_ref().map(|_| Arc::new(StorageCounts::default()));
    if let (Some(path), Some(saves)) = (&path, &saves) {
        // Before anything is served: a scrape right after a restart finds what was known.
        let (storage, found) = Storage::open(path, clock.now(), Arc::clone(saves))?;
        refresher = refresher.with_storage(storage, found);
    }
    let (reload, asked) = Reload::channel();
    let reloader = Reloader {
        file,
        flags: policy,
        choice,
        of_source,
        config: configure,
        snapshot: snapshot.clone(),
        reloads: reloads.clone(),
    };

    let mut signals = StopSignals::new().map_err(ServeError::Signals)?;
    // A file on a file system that hangs, or a resolver, could take any time.
    let bound = tokio::select! {
        bound = web::bind(&web) => bound?,
        signal = signals.next() => {
            tracing::info!(signal = signal.name(), "stopped before anything was served");
            return Ok(());
        }
    };
    tracing::info!(version = VERSION, revision = REVISION, "started");
    bound.announce();

    let (stop, stopped) = watch::channel(());
    let stopping = stopped.clone();
    let mut tasks = JoinSet::new();
    let exposer = metrics::exposer(snapshot.clone(), clock, requests, counts, saves, reloads);
    let routes = Routes::new(RoutesConfig {
        telemetry_path: web.telemetry_path,
        exposer,
        probe: probe(snapshot.clone()),
        snapshot,
        clock,
        page: !web.disable_page,
    });
    let reload = web.enable_lifecycle.then_some(reload);
    tasks.spawn(async move {
        bound.serve(routes, reload, until_dropped(stopped)).await;
        "the web server"
    });
    tasks.spawn(async move {
        refresher.run(until_dropped(stopping)).await;
        "the refresher"
    });
    let reloading = tasks.spawn(async move {
        reloader.run(hangups, asked).await;
        "the reloader"
    });

    tokio::select! {
        signal = signals.next() => tracing::info!(signal = signal.name(), "stopping"),
        Some(ended) = tasks.join_next() => return Err(died(ended)),
    }
    reloading.abort();
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
