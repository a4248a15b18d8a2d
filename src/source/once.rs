//! A source read once, for commands that end then.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use futures_util::future::join_all;
use tokio::time::Instant;

use super::{Outcome, Reader, Source};
use crate::{inventory::User, key::AccountId};

/// The readers of a source that was read once.
#[derive(Debug)]
pub struct Once(Vec<Reader>);

impl Once {
    /// Discovers the members and reads them all, at the same time, as of `now`, and logs their
    /// remarks; what isn't read by
    /// `deadline` counts as unread. A discovery that failed is an outcome without an account.
    pub async fn read(
        mut source: Source,
        now: DateTime<Utc>,
        deadline: Instant,
    ) -> (Self, Vec<Outcome>) {
        let discovery = source.discover(now, deadline).await;
        if discovery.members.is_empty() && discovery.trouble.is_none() {
            let shard = source.shard();
            if shard.is_whole() {
                tracing::warn!("there is no account to read: the configuration leaves none");
            } else {
                tracing::warn!(%shard, "no account is in the shard, so nothing is read");
            }
        }
        let mut readers: Vec<Reader> = discovery
            .members
            .iter()
            .map(|member| source.reader(member))
            .collect();
        let read = readers
            .iter_mut()
            .map(|reader| reader.collect(now, deadline));
        let mut outcomes: Vec<Outcome> = join_all(read).await.into_iter().flatten().collect();
        outcomes.extend(discovery.trouble.map(|trouble| Outcome {
            account: None,
            result: Err(trouble),
            duration: Duration::ZERO,
            remarks: Vec::new(),
        }));
        outcomes.iter().for_each(Outcome::say_remarks);
        (Self(readers), outcomes)
    }

    /// Reads some users of an account again: see [`Reader::read_again`].
    pub async fn read_again(
        &mut self,
        account: AccountId,
        users: Vec<Arc<str>>,
        deadline: Instant,
    ) -> Option<Vec<(Arc<str>, Option<User>)>> {
        let reader = self
            .0
            .iter_mut()
            .find(|reader| reader.account() == Some(account))?;
        reader.read_again(account, users, deadline).await
    }
}
