//! The users that the report doesn't know yet, looked for when somebody with an old key is missing.
//!
//! A user who is renamed takes the keys along, and an old key must not be lost from sight until the
//! next report tells the new name.
//!
//! Source: IAM API Reference, `UpdateUser`.

use std::{collections::HashSet, sync::Arc};

use chrono::{DateTime, Utc};

use crate::source::report::Row;

/// What a look at the whole list of users found.
#[derive(Debug, Default)]
pub(crate) struct Unreported {
    /// When the report was made beside which it was taken.
    generated: Option<DateTime<Utc>>,
    /// Who was missing then.
    missing: HashSet<Arc<str>>,
    /// The users who were not in that report.
    users: Vec<Arc<str>>,
}

impl Unreported {
    /// The users to add to the report of `generated`. A new report has them by itself.
    pub(crate) fn rows(&mut self, generated: DateTime<Utc>) -> Vec<Row> {
        if self.generated != Some(generated) {
            *self = Self {
                generated: Some(generated),
                ..Self::default()
            };
        }
        self.users.iter().map(blank).collect()
    }

    /// Whether somebody is missing who wasn't at the last look.
    pub(crate) fn is_needed(&self, missing: &HashSet<Arc<str>>) -> bool {
        !missing.is_subset(&self.missing)
    }

    /// Takes in the names of all users, looked up because of those who are missing. Gives the rows
    /// of the users who are in none of `rows`.
    pub(crate) fn found(
        &mut self,
        names: Vec<Arc<str>>,
        missing: HashSet<Arc<str>>,
        rows: &[Row],
    ) -> Vec<Row> {
        let reported: HashSet<&str> = rows.iter().map(|row| &*row.user).collect();
        let new: Vec<_> = names
            .into_iter()
            .filter(|name| !reported.contains(&**name))
            .collect();
        let rows = new.iter().map(blank).collect();
        self.users.extend(new);
        self.missing = missing;
        rows
    }
}

/// A row that says nothing of a user, so that the user is read live.
fn blank(user: &Arc<str>) -> Row {
    Row {
        user: Arc::clone(user),
        created: None,
        slots: [None, None],
        is_read: false,
    }
}
