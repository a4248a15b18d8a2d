//! What the log tells of refreshes: what begins, changes or ends is said once, and of much that
//! happens at once, a few in full and the rest in sum.

use std::{collections::BTreeMap, time::Duration};

use tokio::time::Instant;

use super::known::reasons;
use crate::{
    inventory::Inventory,
    key::AccountId,
    reason::Reason,
    source::{Outcome, Remark, SourceError},
};

/// How many accounts are spoken of in full within one [`WINDOW`].
const IN_FULL: usize = 10;

/// How long after the first news the sum of what wasn't said in full is told.
const WINDOW: Duration = Duration::from_secs(30);

/// What was last said, so that an account is said to fail once, and not at each attempt.
#[derive(Debug, Default)]
pub(super) struct Said {
    accounts: BTreeMap<Option<AccountId>, Vec<Reason>>,
    discovery: Option<SourceError>,
    /// Whether it was said that there is no account to read.
    empty: bool,
    failures: Window,
    successes: Window,
    warnings: Window,
    reliefs: Window,
}

/// News of one kind since the first of them.
#[derive(Debug, Default)]
struct Window {
    begun: Option<Instant>,
    in_full: usize,
    /// The accounts that weren't spoken of, by why they would have been.
    withheld: usize,
    reasons: BTreeMap<&'static str, usize>,
}

impl Window {
    /// Whether this news may be told in full. What may not is kept for the sum.
    fn admits(&mut self, reasons: impl IntoIterator<Item = &'static str>, now: Instant) -> bool {
        self.begun.get_or_insert(now);
        if self.in_full < IN_FULL {
            self.in_full += 1;
            return true;
        }
        self.withheld += 1;
        for reason in reasons {
            *self.reasons.entry(reason).or_default() += 1;
        }
        false
    }

    fn end(&self) -> Option<Instant> {
        self.begun.map(|begun| begun + WINDOW)
    }

    /// What was withheld, if the window has ended.
    fn close(&mut self, now: Instant) -> Option<Self> {
        if self.end()? > now {
            return None;
        }
        let closed = std::mem::take(self);
        (closed.withheld > 0).then_some(closed)
    }

    fn by_reason(&self) -> String {
        let reasons = self.reasons.iter();
        let reasons: Vec<_> = reasons
            .map(|(why, count)| format!("{why}={count}"))
            .collect();
        reasons.join(",")
    }
}

impl Said {
    /// Logs an outcome: a failure that begins or changes at WARN, the first success and a recovery
    /// at INFO, all else at DEBUG.
    pub(super) fn say(&mut self, account: Option<AccountId>, outcome: &Outcome, now: Instant) {
        let failures = reasons(&outcome.result);
        let is_news = self.accounts.get(&account) != Some(&failures);
        let window = if failures.is_empty() {
            &mut self.successes
        } else {
            &mut self.failures
        };
        let in_full = is_news && window.admits(failures.iter().map(|reason| reason.as_str()), now);
        let name = name(account);
        self.say_remarks(&name, &outcome.remarks, now);
        match &outcome.result {
            Err(error) if in_full => tracing::warn!(
                account = name, reason = %error.reason, "refresh failed: {error}"
            ),
            Err(error) => tracing::debug!(
                account = name, reason = %error.reason, "refresh failed: {error}"
            ),
            Ok(found) => say_read(&name, found, &failures, outcome.duration, in_full),
        }
        self.accounts.insert(account, failures);
        if account.is_some() {
            self.accounts.remove(&None);
        }
    }

    /// Logs the remarks on an account.
    fn say_remarks(&mut self, account: &str, remarks: &[Remark], now: Instant) {
        for remark in remarks {
            let window = if remark.is_warning() {
                &mut self.warnings
            } else {
                &mut self.reliefs
            };
            if window.admits([remark.as_str()], now) {
                remark.say(account);
            } else {
                remark.whisper(account);
            }
        }
    }

    /// Logs what became of a discovery: a failure that begins or changes at WARN, its end at INFO.
    pub(super) fn say_discovery(&mut self, trouble: Option<&SourceError>) {
        let is_news = self.discovery.as_ref() != trouble;
        match trouble {
            Some(error) if is_news => tracing::warn!(
                reason = %error.reason,
                "the accounts could not be discovered, so those known are kept: {error}"
            ),
            Some(error) => {
                tracing::debug!(reason = %error.reason, "discovery failed again: {error}");
            }
            None if is_news => tracing::info!("the accounts can be discovered again"),
            None => {}
        }
        self.discovery = trouble.cloned();
    }

    /// Says, once, that a look found no account to read.
    pub(super) fn say_empty(&mut self, is_empty: bool) {
        if is_empty && !self.empty {
            tracing::warn!(
                "there is no account to read: the configuration or the shard leaves none"
            );
        }
        self.empty = is_empty;
    }

    /// Forgets an account that is gone: if it comes back, that is news.
    pub(super) fn forget(&mut self, account: AccountId) {
        self.accounts.remove(&Some(account));
    }

    /// When there may be a sum to tell.
    pub(super) fn due(&self) -> Option<Instant> {
        let Self {
            accounts: _,
            discovery: _,
            empty: _,
            failures,
            successes,
            warnings,
            reliefs,
        } = self;
        let windows = [failures, successes, warnings, reliefs];
        windows.into_iter().filter_map(Window::end).min()
    }

    /// Tells the sum of what wasn't said in full, where it is time.
    pub(super) fn sum_up(&mut self, now: Instant) {
        if let Some(failures) = self.failures.close(now) {
            tracing::warn!(
                accounts = failures.withheld,
                reasons = failures.by_reason(),
                "refreshes of more accounts failed or were incomplete; each is told of at debug level"
            );
        }
        if let Some(successes) = self.successes.close(now) {
            tracing::info!(
                accounts = successes.withheld,
                "more accounts were read completely"
            );
        }
        if let Some(warnings) = self.warnings.close(now) {
            tracing::warn!(
                remarks = warnings.withheld,
                about = warnings.by_reason(),
                "there is as much to say of more accounts; each is told of at debug level"
            );
        }
        if let Some(reliefs) = self.reliefs.close(now) {
            tracing::info!(
                remarks = reliefs.withheld,
                about = reliefs.by_reason(),
                "there is as much to say of more accounts; each is told of at debug level"
            );
        }
    }
}

fn name(account: Option<AccountId>) -> String {
    account.map_or_else(|| "unknown".to_owned(), |id| id.to_string())
}

/// Logs that an account was read, completely or in part.
fn say_read(account: &str, found: &Inventory, failures: &[Reason], took: Duration, in_full: bool) {
    let users = found.users.len();
    let unread = found.unread_users();
    let keys: usize = found.users.iter().map(|user| user.keys.len()).sum();
    let seconds = took.as_secs_f64();
    let reasons: Vec<_> = failures.iter().map(|reason| reason.as_str()).collect();
    let reasons = reasons.join(",");
    let first = found.first_trouble();
    match (failures.is_empty(), in_full) {
        (false, true) => tracing::warn!(
            account,
            users,
            keys,
            unread,
            reasons,
            seconds,
            first,
            "refresh was incomplete; what was known before of the rest is kept"
        ),
        (false, false) => tracing::debug!(
            account,
            users,
            keys,
            unread,
            reasons,
            seconds,
            first,
            "refresh was incomplete; what was known before of the rest is kept"
        ),
        (true, true) => tracing::info!(account, users, keys, seconds, "account read completely"),
        (true, false) => tracing::debug!(account, users, keys, seconds, "account read completely"),
    }
}
