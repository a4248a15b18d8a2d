//! Strategy `auto`: the credential report says who has keys, and only users who can matter are read
//! live.
//!
//! Nothing that anybody can do makes a key older, so only a user who already holds an old key can
//! be or become overdue. Those are read at every refresh; everybody else only when their row of the
//! report is new or has changed. The overdue keys are therefore those that `list` finds, at 2 calls
//! a refresh + one for each such user. What can be up to four hours behind is only what can't be
//! overdue: a key just born.

mod memory;

use chrono::{DateTime, Utc};
use futures_util::{StreamExt, stream};
use tokio::time::Instant;

pub(super) use self::memory::{Memory, Watch};
use super::{client::Api, list};
use crate::{
    inventory::{Account, Inventory, User},
    source::{Progress, report::Report},
};

/// A credential report and when AWS made it.
pub(super) struct Dated {
    pub(super) report: Report,
    pub(super) generated: DateTime<Utc>,
}

/// Reads the users that have to be read, and gives everybody.
pub(super) async fn collect(
    api: &Api,
    account: Account,
    dated: &Dated,
    memory: &mut Memory,
    progress: &Progress,
    now: DateTime<Utc>,
    deadline: Instant,
) -> Inventory {
    let Dated { report, generated } = dated;
    memory.keep_only(&report.rows);

    let stale = memory.stale(&report.rows, *generated, now);
    progress.found(stale.len());
    let mut listings = stream::iter(stale)
        .map(|(index, user)| async move {
            let listing = list::read_keys(api, &user, deadline).await;
            progress.read();
            (index, listing)
        })
        .buffer_unordered(api.max_concurrency());
    let mut listed = Vec::new();
    while let Some(listing) = listings.next().await {
        listed.push(listing);
    }
    for (index, listing) in listed {
        memory.learn(&report.rows[index], listing, *generated);
    }

    let mut answers = stream::iter(memory.ask(&report.rows, *generated, now))
        .map(|(user, key)| async move {
            let last_use = list::last_use(api, &key, deadline).await;
            (user, key, last_use)
        })
        .buffer_unordered(api.max_concurrency());
    while let Some((user, key, last_use)) = answers.next().await {
        memory.learn_last_use(&user, &key, last_use);
    }

    let users: Vec<User> = report
        .rows
        .iter()
        .filter_map(|row| memory.user(row))
        .collect();
    Inventory {
        account,
        user_count: users.len(),
        users,
        root: report.root,
        data_time: now.min(*generated),
        listing: report.listing,
    }
}
