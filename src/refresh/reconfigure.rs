//! A configuration that takes the place of another while the exporter runs.

use std::sync::Arc;

use tokio::time::Instant;

use super::refresher::Refresher;
use crate::{config::Config, storage::Aim};

impl Refresher {
    /// Goes by the newest configuration. What is known stays, judged anew at once; what has to be read
    /// because of it is read now, as fast as AWS may be asked.
    pub(super) fn reconfigure(&mut self) {
        let next = Arc::clone(&self.configs.borrow_and_update());
        let before = std::mem::replace(&mut self.config, next);
        let now = Instant::now();
        let aim = Arc::new(aim(&self.config));
        let reads_others = aim != self.aim;
        self.aim = aim;
        if self.config.policy != before.policy {
            self.known.apply(&self.config.policy);
        }
        self.publish(now);
        if self.config.accounts != before.accounts {
            self.look_again(now);
        }
        if reads_others {
            self.turns.all_due(now);
        }
    }
}

/// What the accounts are read for.
pub(super) fn aim(config: &Config) -> Aim {
    Aim {
        max_age: config.policy.thresholds.max_age,
        smallest_max_age: config.policy.smallest_max_age(),
        tags: config.wanted_tags(),
    }
}
