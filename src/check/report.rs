//! What a check found, ready to be written in any format.

use std::sync::Arc;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;

use super::{
    control::Control,
    details, judge,
    rows::{Row, Status},
};
use crate::{
    policy::{Boundary, Policy},
    snapshot::{AccountState, Snapshot},
};

/// The results of the control at one instant.
#[derive(Debug)]
pub struct Report {
    /// The control, as the chosen benchmark numbers it.
    pub control: &'static Control,
    /// The rows to show, in order.
    pub rows: Vec<Row>,
    /// The keys of the rows' dimensions, the same in each row.
    pub dimension_keys: Vec<&'static str>,
    /// How many rows of each status there are, shown or not.
    pub summary: Summary,
    /// The thresholds.
    pub policy: Arc<Policy>,
    /// The instant that ages were computed for.
    pub as_of: DateTime<Utc>,
    /// The region of the Security Hub that findings are for; `None` means the partition's first.
    pub region: Option<String>,
    /// Whether everything was read.
    pub is_complete: bool,
}

impl Report {
    /// The results of all accounts of `snapshot` as of `now`. With `details` their dimensions tell
    /// more than the control's.
    pub fn new(
        snapshot: &Snapshot,
        control: &'static Control,
        details: bool,
        now: DateTime<Utc>,
    ) -> Self {
        let rows = judge::rows(snapshot, now, details);
        Self {
            control,
            summary: Summary::of(&rows),
            rows,
            dimension_keys: details::dimension_keys(details),
            policy: Arc::clone(&snapshot.policy),
            as_of: now,
            region: None,
            is_complete: is_complete(snapshot),
        }
    }

    /// Keeps the rows of some statuses, of all if none is given. The summary stays that of all rows.
    pub fn keep(&mut self, statuses: &[Status]) {
        if !statuses.is_empty() {
            self.rows.retain(|row| statuses.contains(&row.status));
        }
    }

    /// What was judged by, and when, in a sentence.
    pub fn basis(&self) -> String {
        let boundary = Boundary::ALL
            .iter()
            .find(|(_, boundary)| *boundary == self.policy.thresholds.boundary)
            .map_or("", |(name, _)| name);
        format!(
            "Maximum age {} days ({boundary}), as of {}.",
            self.policy.thresholds.max_age.num_days(),
            self.as_of.to_rfc3339_opts(SecondsFormat::Secs, true)
        )
    }

    /// How many rows a filter keeps from being shown.
    pub fn hidden(&self) -> usize {
        self.summary.total() - self.rows.len()
    }
}

/// How many rows of each status there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    alarm: usize,
    ok: usize,
    info: usize,
    skip: usize,
    error: usize,
}

impl Summary {
    /// Counts rows.
    pub fn of<'a>(rows: impl IntoIterator<Item = &'a Row>) -> Self {
        let mut summary = Self::default();
        for row in rows {
            *summary.of_status(row.status) += 1;
        }
        summary
    }

    fn of_status(&mut self, status: Status) -> &mut usize {
        match status {
            Status::Ok => &mut self.ok,
            Status::Skip => &mut self.skip,
            Status::Info => &mut self.info,
            Status::Alarm => &mut self.alarm,
            Status::Error => &mut self.error,
        }
    }

    /// The rows of a status.
    pub fn count(mut self, status: Status) -> usize {
        *self.of_status(status)
    }

    /// All rows.
    pub fn total(self) -> usize {
        self.alarm + self.ok + self.info + self.skip + self.error
    }

    /// The rows that need somebody: alarms and errors.
    pub fn failed(self) -> usize {
        self.alarm + self.error
    }
}

/// Whether everything was read: each account, whole, and at least one.
fn is_complete(snapshot: &Snapshot) -> bool {
    snapshot.unidentified.is_none()
        && !snapshot.accounts.is_empty()
        && snapshot.accounts.iter().all(AccountState::is_up)
}
