//! The users that the report doesn't tell of, looked for when an old key is gone.
//!
//! A user who is renamed takes the keys along, and may even take the name of somebody else in the
//! report. An old key must not be lost from sight until the next report tells who holds it.
//!
//! Source: IAM API Reference, `UpdateUser`.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use chrono::{DateTime, Utc};

use crate::{
    intern::Word,
    source::{aws::client::ListedUser, report::Row},
};

/// Old keys by the user who held them.
type Lost = HashSet<(Arc<str>, DateTime<Utc>)>;

/// What a look at the list of all users found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Unreported {
    /// When the report was made beside which it was taken.
    pub(crate) generated: Option<DateTime<Utc>>,
    /// What was gone then.
    pub(crate) lost: Lost,
    /// The users who were not in that report, or whose row is somebody else's, with their paths.
    pub(crate) users: BTreeMap<Arc<str>, Word>,
}

impl Unreported {
    /// Puts the users in the place of their rows in the report of `generated`. A new report has
    /// them by itself.
    pub(crate) fn add_to(&mut self, rows: &mut Vec<Row>, generated: DateTime<Utc>) {
        if self.generated != Some(generated) {
            *self = Self {
                generated: Some(generated),
                ..Self::default()
            };
        }
        rows.retain(|row| !self.users.contains_key(&row.user));
        rows.extend(self.users.iter().map(blank));
    }

    /// Whether something is gone that wasn't at the last look.
    pub(crate) fn is_needed(&self, lost: &Lost) -> bool {
        !lost.is_subset(&self.lost)
    }

    /// Takes in the list of all users, looked up because of what is gone. Moves those that the
    /// report doesn't tell of out of `rows` and gives them: a user keeps `CreateDate` for life, so
    /// a row with another one is that of somebody else.
    pub(in crate::source::aws) fn found(
        &mut self,
        users: Vec<ListedUser>,
        lost: Lost,
        rows: &mut Vec<Row>,
    ) -> Vec<Row> {
        let reported: HashMap<&str, Option<DateTime<Utc>>> =
            rows.iter().map(|row| (&*row.user, row.created)).collect();
        let is_told = |user: &ListedUser| {
            let created = reported.get(&*user.name).copied().flatten();
            created.is_some() && created == user.created
        };
        let found: BTreeMap<Arc<str>, Word> = users
            .into_iter()
            .filter(|user| !is_told(user))
            .map(|user| (user.name, user.path))
            .collect();
        rows.retain(|row| !found.contains_key(&row.user));
        let new = found.iter().map(blank).collect();
        self.users.extend(found);
        self.lost = lost;
        new
    }
}

/// A row that says nothing of a user, so that the user is read live.
fn blank((user, path): (&Arc<str>, &Word)) -> Row {
    Row {
        user: Arc::clone(user),
        path: path.clone(),
        created: None,
        slots: [None, None],
        is_read: false,
    }
}
