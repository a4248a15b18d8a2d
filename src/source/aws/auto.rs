//! Strategy `auto`: the credential report says who has keys, and only users who can matter are read
//! live.
//!
//! Nothing that anybody can do makes a key older, so only a user who already holds an old key can
//! be or become overdue. Those are read at every refresh; everybody else only when their row of the
//! report is new or has changed. The overdue keys are therefore those that `list` finds, at 2 calls
//! a refresh (without `GetCallerIdentity`, which all make) + one for each such user. If an
//! old key is gone from under the name in the report, all users are looked up once: its user may
//! have been renamed. What can be up to four hours behind is only what can't be overdue: a key just
//! born.

mod memory;
mod unreported;

use std::sync::Arc;

use chrono::{DateTime, Utc};
use futures_util::{StreamExt, stream};
use tokio::time::Instant;

pub use self::memory::Remembered;
pub(super) use self::memory::{Memory, Watch};
pub(crate) use self::{
    memory::{Known, LastListing},
    unreported::Unreported,
};
use super::{
    client::Api,
    failure::CallError,
    list::{self, Troubles},
};
use crate::{
    inventory::{Account, Inventory, Listing, User},
    reason::Reason,
    source::{
        Progress,
        report::{Report, Row},
    },
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
    dated: Dated,
    memory: &mut Memory,
    progress: &Progress,
    now: DateTime<Utc>,
    deadline: Instant,
) -> Inventory {
    let Dated { report, generated } = dated;
    let mut rows = report.rows;
    let mut listing = report.listing;
    memory.unreported().add_to(&mut rows, generated);
    memory.keep_only(&rows);
    let stale = memory.stale(&rows, generated, now);
    let mut troubles = read(api, &rows, stale, memory, progress, generated, deadline).await;

    let lost = memory.lost(now);
    if memory.unreported().is_needed(&lost) {
        match Box::pin(list::all_users(api, deadline)).await {
            Ok(users) => {
                let found = memory.unreported().found(users, lost, &mut rows);
                let all = found.iter().map(|row| Arc::clone(&row.user));
                let all = all.enumerate().collect();
                let more = read(api, &found, all, memory, progress, generated, deadline).await;
                troubles.extend(more);
                rows.extend(found);
            }
            Err(error) => {
                listing = Listing::Truncated(error.reason);
                troubles.push(error);
            }
        }
    }

    let mut answers = stream::iter(memory.ask(&rows, generated, now))
        .map(|(user, key)| async move {
            let last_use = list::last_use(api, &key, deadline).await;
            (user, key, last_use)
        })
        .buffer_unordered(api.max_concurrency());
    while let Some((user, key, last_use)) = answers.next().await {
        match last_use {
            Ok(last_use) => memory.learn_last_use(&user, &key, &last_use),
            // Asking again would cost a call for each due key at every refresh.
            Err(error) if error.reason == Reason::AccessDenied => {}
            Err(_) => memory.ask_again(&key),
        }
    }

    let mut noted = Troubles::default();
    noted.extend(troubles);
    let mut users: Vec<User> = rows.iter().filter_map(|row| memory.user(row)).collect();
    users.shrink_to_fit();
    Inventory {
        account,
        user_count: (listing == Listing::Complete).then_some(users.len()),
        users,
        root: report.root,
        data_time: now.min(generated),
        listing,
        troubles: noted.0,
    }
}

/// Lists the keys of some users, given by the index of their row, and gives what went wrong.
async fn read(
    api: &Api,
    rows: &[Row],
    which: Vec<(usize, Arc<str>)>,
    memory: &mut Memory,
    progress: &Progress,
    generated: DateTime<Utc>,
    deadline: Instant,
) -> Vec<CallError> {
    progress.found(which.len());
    let mut listings = stream::iter(which)
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
    let mut troubles = Vec::new();
    for (index, listing) in listed {
        memory.learn(&rows[index], listing.user, generated);
        troubles.extend(listing.trouble);
    }
    troubles
}
