//! A configuration that takes the place of another while the exporter runs.

use std::sync::Arc;

use tokio::time::Instant;

use super::refresher::Refresher;
use crate::config::Config;

impl Refresher {
    /// Goes by the newest configuration. What is known stays, judged anew at once; what has to be read
    /// because of it is read now, as fast as AWS may be asked.
    pub(super) fn reconfigure(&mut self) {
        let next = Arc::clone(&self.configs.borrow_and_update());
        let before = std::mem::replace(&mut self.config, next);
        let now = Instant::now();
        let wanted_tags = self.config.wanted_tags();
        let reads_others = needs_reading(&before, &self.config) || wanted_tags != self.wanted_tags;
        self.wanted_tags = wanted_tags;
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

/// Whether other users than before have to be read live, or may have to.
fn needs_reading(before: &Config, after: &Config) -> bool {
    let max_ages = |config: &Config| {
        let policy = &config.policy;
        (policy.thresholds.max_age, policy.smallest_max_age())
    };
    max_ages(before) != max_ages(after)
}
