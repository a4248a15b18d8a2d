//! When a new snapshot is published.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::refresher::Refresher;
use crate::{
    reason::Reason,
    snapshot::{Scope, Snapshot},
};

/// How long a snapshot stands at least, so that a thousand accounts read within a second don't make
/// a thousand of them.
const SHORTEST_PUBLICATION: Duration = Duration::from_millis(100);

/// When the snapshot was published and is to be published again.
#[derive(Debug, Default)]
pub(super) struct Publication {
    pub(super) last: Option<Instant>,
    /// There is something to publish from this instant on.
    pub(super) due: Option<Instant>,
}

impl Refresher {
    pub(super) fn unidentified(&self) -> Option<Reason> {
        self.unidentified.or(self.discovery.trouble)
    }

    /// Publishes at the next occasion: at once if nothing was published just now.
    pub(super) fn publish_soon(&mut self) {
        let now = Instant::now();
        let earliest = self
            .publication
            .last
            .map_or(now, |last| now.max(last + SHORTEST_PUBLICATION));
        self.publish_from(earliest);
    }

    /// Publishes shortly, unless what is about to be read comes before.
    pub(super) fn publish_shortly(&mut self) {
        self.publish_from(Instant::now() + SHORTEST_PUBLICATION);
    }

    fn publish_from(&mut self, instant: Instant) {
        let due = self.publication.due.get_or_insert(instant);
        *due = instant.min(*due);
    }

    /// Which accounts are read now.
    fn scope(&self, before: Scope) -> Scope {
        let accounts = self.turns.iter().map(|turn| match &turn.accounts {
            // A report may be of many, or of none if it could not be read.
            Some(accounts) if turn.member.account.is_none() => accounts.len().max(1),
            _ => 1,
        });
        Scope {
            accounts: self.discovery.tried.then(|| accounts.sum()),
            is_certain: self.discovery.succeeded,
            last_discovery: self.discovery.last_success,
            shard: before.shard,
        }
    }

    pub(super) fn publish(&mut self, now: Instant) {
        self.publication = Publication {
            last: Some(now),
            due: None,
        };
        let before = self.snapshot.borrow().clone();
        let all_tried = self.discovery.tried && self.turns.iter().all(|turn| turn.tried);
        // Before the first look at the members, data can only be of before a restart.
        let is_restored = !self.discovery.tried && self.known.has_data();
        let next = Snapshot {
            accounts: self.known.states(),
            unidentified: self.unidentified(),
            // An account that is new doesn't make unready what was ready.
            tried: before.tried || all_tried || is_restored,
            scope: self.scope(before.scope),
            policy: Arc::clone(&self.config.policy),
            tags: Arc::clone(&self.config.tags),
            key_ids: before.key_ids,
            refresh_interval: before.refresh_interval,
        };
        self.snapshot.send_replace(Arc::new(next));
    }
}
