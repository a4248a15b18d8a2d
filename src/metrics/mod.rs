//! What Prometheus reads: the only module that knows `prometheus_client`.

mod accounts;
pub mod exporter;
pub mod exposition;
pub mod keys;
mod labels;
pub mod process;
mod tags;

use std::sync::Arc;

use prometheus_client::registry::Registry;
use tokio::sync::watch;

use self::{
    exporter::ExporterMetrics, exposition::Exposer, keys::registry_with, labels::LatestIdentities,
    process::ProcessMetrics,
};
use crate::{
    clock::Clock,
    config::Reloads,
    counts::{RefreshCounts, RequestCounts, StorageCounts},
    snapshot::Snapshot,
};

/// Everything that is exposed, rendered on demand with one `now` a render.
pub fn exposer(
    snapshot: watch::Receiver<Arc<Snapshot>>,
    clock: Clock,
    requests: Arc<RequestCounts>,
    refreshes: Arc<RefreshCounts>,
    storage: Option<Arc<StorageCounts>>,
    reloads: Reloads,
) -> Exposer {
    let mut own = Registry::default();
    own.register_collector(Box::new(ExporterMetrics {
        requests,
        refreshes,
        storage,
        reloads,
    }));
    own.register_collector(Box::new(ProcessMetrics::new()));
    let own = Arc::new(own);
    let latest = LatestIdentities::default();
    Exposer::new(move || {
        let snapshot = Arc::clone(&snapshot.borrow());
        let identities = latest.of(&snapshot);
        let keys = registry_with(identities, snapshot, clock.now());
        vec![Arc::new(keys), Arc::clone(&own)]
    })
}
