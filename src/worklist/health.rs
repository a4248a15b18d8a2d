//! How far what is shown can be trusted, in words.

use std::cmp::Reverse;

use chrono::{DateTime, TimeDelta, Utc};

use crate::{
    plan::words::{instant, span},
    reason::Reason,
    snapshot::{AccountState, Snapshot},
};

/// From this age on data is called old even where each refresh went well, as with a report in a file.
const OLD: TimeDelta = TimeDelta::days(1);

/// How much a sentence should worry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tone {
    /// Not at all.
    Good,
    /// Something is missing or old.
    Warning,
    /// Nothing can be said.
    Bad,
}

/// A sentence about the data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// How much it should worry.
    pub tone: Tone,
    /// The sentence.
    pub text: String,
}

/// The state of one account's data.
#[derive(Debug, Clone)]
pub struct AccountHealth<'a> {
    /// The account.
    pub account: &'a AccountState,
    /// How much it should worry.
    pub tone: Tone,
    /// The state, in a few words.
    pub text: String,
}

/// The state of all data.
#[derive(Debug, Clone)]
pub struct Health<'a> {
    /// What there is to say, the worst first; never empty.
    pub notices: Vec<Notice>,
    /// The accounts, the worst first.
    pub accounts: Vec<AccountHealth<'a>>,
    /// How many accounts were read completely.
    pub up: usize,
    /// The instant of the oldest data.
    pub data_time: Option<DateTime<Utc>>,
}

impl<'a> Health<'a> {
    /// The state at `now`.
    pub fn of(snapshot: &'a Snapshot, now: DateTime<Utc>) -> Self {
        let mut accounts: Vec<_> = snapshot
            .accounts
            .iter()
            .map(|account| of_account(account, snapshot, now))
            .collect();
        accounts.sort_by_key(|health| (Reverse(health.tone), health.account.id));
        let up = snapshot.accounts.iter().filter(|a| a.is_up()).count();
        let data_time = snapshot
            .accounts
            .iter()
            .filter_map(|account| Some(account.inventory.as_ref()?.data_time))
            .min();
        let mut health = Self {
            notices: Vec::new(),
            accounts,
            up,
            data_time,
        };
        health.notices = health.notices(snapshot, now);
        health
    }

    /// The worst of what there is to say.
    pub fn tone(&self) -> Tone {
        let tones = self.notices.iter().map(|notice| notice.tone);
        tones.max().unwrap_or(Tone::Good)
    }

    fn notices(&self, snapshot: &Snapshot, now: DateTime<Utc>) -> Vec<Notice> {
        let notice = |tone, text| Notice { tone, text };
        let mut notices = Vec::new();
        if let Some(reason) = snapshot.unidentified {
            notices.push(notice(
                Tone::Bad,
                format!(
                    "An account whose id isn’t known yet could not be read: {}.",
                    reason_words(reason)
                ),
            ));
        }
        let Some(data_time) = self.data_time else {
            notices.push(if snapshot.tried {
                notice(
                    Tone::Bad,
                    "No account could be read yet, so nothing is known of any key. It is tried again and again; the \
                     log has more."
                        .to_owned(),
                )
            } else {
                notice(
                    Tone::Warning,
                    "Nothing has been loaded yet: the first refresh is under way. Load this page again in a moment."
                        .to_owned(),
                )
            });
            return notices;
        };
        let count = snapshot.accounts.len();
        let age = now - data_time;
        let accounts = match (self.up, count) {
            (1, 1) => "The account was read completely.".to_owned(),
            (up, count) if up == count => format!("All {count} accounts were read completely."),
            (_, 1) => "The account was not read completely.".to_owned(),
            (up, count) => format!("{up} of {count} accounts were read completely."),
        };
        let oldest = if count > 1 {
            "The oldest data"
        } else {
            "The data"
        };
        let mut text = format!("{oldest} is {} old. {accounts}", span(age));
        let tone = if self.up == count {
            Tone::Good
        } else {
            text.push_str(
                " What is shown of the others may be missing or old: see the accounts below.",
            );
            Tone::Warning
        };
        notices.push(notice(tone, text));
        if !snapshot.tried {
            notices.push(notice(
                Tone::Warning,
                "Not every account has been tried yet: the first refresh is under way.".to_owned(),
            ));
        }
        let stale = snapshot
            .accounts
            .iter()
            .filter(|account| is_stale(account, snapshot, now))
            .count();
        if stale > 0 {
            notices.push(notice(
                Tone::Warning,
                format!(
                    "Stale: {} without a whole refresh for more than two intervals ({}). Ages go on growing, but what \
                     changed since is not seen.",
                    counted(stale, "account is", "accounts are"),
                    span(TimeDelta::from_std(snapshot.refresh_interval * 2).unwrap_or_default()),
                ),
            ));
        } else if age >= OLD {
            notices.push(notice(
                Tone::Warning,
                format!(
                    "Old data: what is shown is as of {}. Whatever was created, rotated or used since is not in it.",
                    instant(data_time)
                ),
            ));
        }
        notices.sort_by_key(|notice| Reverse(notice.tone));
        notices
    }
}

/// Whether the last whole refresh is more than two intervals ago.
fn is_stale(account: &AccountState, snapshot: &Snapshot, now: DateTime<Utc>) -> bool {
    let most = TimeDelta::from_std(snapshot.refresh_interval * 2 + account.duration);
    let is_old = |then: DateTime<Utc>| most.is_ok_and(|most| now - then > most);
    match (account.last_success, &account.inventory) {
        (Some(success), _) => is_old(success),
        (None, Some(inventory)) => !account.reached && is_old(inventory.data_time),
        (None, None) => false,
    }
}

fn of_account<'a>(
    account: &'a AccountState,
    snapshot: &Snapshot,
    now: DateTime<Utc>,
) -> AccountHealth<'a> {
    let reasons = reasons(&account.failures);
    let (tone, text) = match &account.inventory {
        None => (Tone::Bad, format!("never read: {reasons}")),
        Some(inventory) => {
            let age = span(now - inventory.data_time);
            if account.is_up() {
                let tone = if is_stale(account, snapshot, now) {
                    Tone::Warning
                } else {
                    Tone::Good
                };
                (tone, format!("read completely; the data is {age} old"))
            } else if account.reached {
                let unread = counted(inventory.unread_users(), "user", "users");
                let text = format!(
                    "read in part ({unread} could not be read): {reasons}; the data is {age} old"
                );
                (Tone::Warning, text)
            } else {
                let text = format!("could not be read: {reasons}; the data shown is {age} old");
                (Tone::Warning, text)
            }
        }
    };
    AccountHealth {
        account,
        tone,
        text,
    }
}

/// "1 user", "2 users"
pub fn counted(count: usize, one: &str, many: &str) -> String {
    match count {
        1 => format!("1 {one}"),
        count => format!("{count} {many}"),
    }
}

fn reasons(failures: &[Reason]) -> String {
    let words: Vec<_> = failures.iter().copied().map(reason_words).collect();
    words.join("; ")
}

/// A reason in words, with its name as a label so that it can be looked for.
pub fn reason_words(reason: Reason) -> String {
    let words = match reason {
        Reason::AccessDenied => "a permission is missing",
        Reason::Credentials => "there are no valid credentials",
        Reason::ExpiredToken => "the session has expired",
        Reason::Throttled => "AWS asked to slow down",
        Reason::Timeout => "no answer came in time",
        Reason::Network => "there is no connection",
        Reason::Tls => "the TLS handshake failed",
        Reason::ServerError => "AWS answered with a fault of its own",
        Reason::MalformedResponse => "an answer could not be understood",
        Reason::ReportUnavailable => "no credential report was given in time",
        Reason::File => "the file could not be read",
        Reason::Other => "the log tells why",
    };
    format!("{words} ({reason})")
}
