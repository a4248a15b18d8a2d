//! One refresh of one member.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use futures_util::FutureExt as _;
use tokio::time::{Instant, timeout_at};

use super::{known::reasons, refresher::Refresher, turns::Key};
use crate::{
    reason::Reason,
    source::{Outcome, Reader, SourceError},
    storage::Aim,
};

/// How long after its deadline a reader may still hand in what it has.
const GRACE: Duration = Duration::from_secs(5);

/// Reads a member, and gives up on a reader that doesn't keep to its deadline.
pub(super) async fn collect(
    reader: &mut Reader,
    now: DateTime<Utc>,
    deadline: Instant,
) -> Vec<Outcome> {
    let start = Instant::now();
    let collect = reader.collect(now, deadline).boxed();
    match timeout_at(deadline + GRACE, collect).await {
        Ok(outcomes) => outcomes,
        Err(_) => vec![Outcome {
            account: reader.account(),
            result: Err(SourceError {
                reason: Reason::Timeout,
                message: "the refresh ran out of time (--refresh.timeout)".to_owned(),
            }),
            duration: start.elapsed(),
            remarks: Vec::new(),
        }],
    }
}

impl Refresher {
    /// Takes in what a member's refresh found. Returns whether everything was read.
    pub(super) fn learn(
        &mut self,
        key: Key,
        outcomes: Vec<Outcome>,
        aim: &Arc<Aim>,
        end: Instant,
    ) -> bool {
        let now = self.clock.now();
        let policy = Arc::clone(&self.config.policy);
        let mut complete = true;
        let mut accounts = BTreeSet::new();
        let mut unidentified = None;
        for outcome in outcomes {
            let account = outcome.account.or(key);
            let failures = reasons(&outcome.result);
            complete &= failures.is_empty();
            self.counts.count(account, &failures);
            self.said.say(account, &outcome, end);
            match account {
                None => unidentified = failures.first().copied(),
                Some(id) => {
                    accounts.insert(id);
                    if failures.is_empty() {
                        self.saving.read(id, aim);
                    }
                    self.known.learn(id, outcome, &policy, now);
                }
            }
        }
        if key.is_none() {
            self.unidentified = unidentified;
            if let Some(reason) = unidentified {
                self.own_up(reason);
            }
        }
        if unidentified.is_none()
            && let Some(turn) = self.turns.get_mut(key)
            && turn.accounts.as_ref() != Some(&accounts)
        {
            turn.accounts = Some(accounts);
            self.forget_who_is_gone();
        }
        complete
    }
}
