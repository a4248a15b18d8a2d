//! What became of the attempts to load the configuration anew.

use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, Utc};

/// The attempts so far, as one knows them now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReloadState {
    /// Whether the last attempt gave the configuration in force.
    pub is_successful: bool,
    /// When the configuration in force was loaded.
    pub last_success: DateTime<Utc>,
}

/// The attempts to load the configuration, shared by who makes them and who tells of them.
#[derive(Debug, Clone)]
pub struct Reloads(Arc<Mutex<ReloadState>>);

impl Reloads {
    /// The configuration was loaded for the first time.
    pub fn started(now: DateTime<Utc>) -> Self {
        Self(Arc::new(Mutex::new(ReloadState {
            is_successful: true,
            last_success: now,
        })))
    }

    /// The configuration was loaded anew and is in force.
    pub fn succeeded(&self, now: DateTime<Utc>) {
        self.set(|state| {
            *state = ReloadState {
                is_successful: true,
                last_success: now,
            };
        });
    }

    /// The configuration could not be loaded; the one from before stays in force.
    pub fn failed(&self) {
        self.set(|state| state.is_successful = false);
    }

    /// What is known now.
    pub fn state(&self) -> ReloadState {
        // The state is replaced whole, so a panic leaves nothing half-done.
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, change: impl FnOnce(&mut ReloadState)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    #[test]
    fn a_failure_leaves_the_time_of_the_configuration_in_force() {
        let start = DateTime::UNIX_EPOCH;
        let later = start + TimeDelta::hours(1);
        let reloads = Reloads::started(start);
        let shared = reloads.clone();
        let state = |is_successful, last_success| ReloadState {
            is_successful,
            last_success,
        };
        assert_eq!(shared.state(), state(true, start));
        reloads.failed();
        assert_eq!(shared.state(), state(false, start));
        reloads.succeeded(later);
        assert_eq!(shared.state(), state(true, later));
    }
}
