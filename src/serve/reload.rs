//! Loads the configuration anew when asked to, by SIGHUP or over HTTP.

use std::{path::PathBuf, sync::Arc, time::Duration};

use tokio::{signal::unix::Signal, sync::watch, time::timeout};

use crate::{
    cli::PolicyArgs,
    clock::Clock,
    config::{self, Config, OfSource, Reloads},
    snapshot::Snapshot,
    source::{Choice, UsageError},
    web::reload::Requests,
};

/// How long who asked waits at most until what was loaded is in force. It takes milliseconds.
const IN_FORCE: Duration = Duration::from_secs(5);

/// Loads the configuration, and publishes it if it can be used.
#[derive(Debug)]
pub(super) struct Reloader {
    pub(super) file: Option<PathBuf>,
    /// What the command line says, which holds on.
    pub(super) flags: PolicyArgs,
    /// Which source is read, and what it brings along, which holds on.
    pub(super) choice: Choice,
    pub(super) of_source: OfSource,
    pub(super) config: watch::Sender<Arc<Config>>,
    pub(super) snapshot: watch::Receiver<Arc<Snapshot>>,
    pub(super) reloads: Reloads,
}

impl Reloader {
    /// Reloads whenever it is asked to. Dropping the future ends it.
    pub(super) async fn run(self, mut hangups: Signal, mut asked: Requests) {
        loop {
            let answer = tokio::select! {
                Some(()) = hangups.recv() => None,
                Some(answer) = asked.recv() => Some(answer),
                else => return,
            };
            let result = self.reload().await;
            if let Some(answer) = answer {
                // Who asked may have gone meanwhile.
                let _ = answer.send(result);
            }
        }
    }

    /// Loads, and waits until what was loaded is in force. A configuration that can't be used changes
    /// nothing. Without a file there is nothing to load, which is no failure: what the file says is in
    /// force.
    async fn reload(&self) -> Result<(), String> {
        let Some(file) = &self.file else {
            tracing::info!("there is nothing to reload: no --config.file was given");
            return Ok(());
        };
        let (path, flags) = (file.clone(), self.flags);
        // Files have no asynchronous interface.
        let loaded = tokio::task::spawn_blocking(move || config::load(Some(&path), flags)).await;
        let loaded = loaded.map(|loaded| {
            let config = loaded.map_err(UsageError::from)?;
            self.choice.accepts(&config).map(|()| config)
        });
        let error = match loaded {
            Ok(Ok(config)) => {
                self.put_in_force(config.with(&self.of_source)).await;
                self.reloads.succeeded(Clock::System.now());
                tracing::info!(file = %file.display(), "the configuration was reloaded");
                return Ok(());
            }
            Ok(Err(UsageError(error))) => error,
            Err(error) => format!("it could not be loaded: {error}"),
        };
        self.reloads.failed();
        tracing::error!("the configuration was not reloaded, and the one in force stays: {error}");
        Err(error)
    }

    async fn put_in_force(&self, config: Config) {
        let policy = Arc::clone(&config.policy);
        self.config.send_replace(Arc::new(config));
        let mut snapshot = self.snapshot.clone();
        let in_force = snapshot.wait_for(|snapshot| Arc::ptr_eq(&snapshot.policy, &policy));
        // If the refresher is gone, the process is about to end.
        let _ = timeout(IN_FORCE, in_force).await;
    }
}
