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
            (up, count) => format!(
                "Of {count} accounts, {} read completely.",
                counted(up, "was", "were")
            ),
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
                (tone, format!("the data is {age} old"))
            } else if account.reached {
                let unread = match inventory.unread_users() {
                    0 => String::new(),
                    count => format!("{} could not be read; ", counted(count, "user", "users")),
                };
                let text = format!("{unread}{reasons}; the data is {age} old");
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

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use super::*;
    use crate::{
        inventory::{Account, Inventory, Listing, RootKeys, User},
        policy::Policy,
        snapshot::KeyIdDisplay,
    };

    fn now() -> DateTime<Utc> {
        "2026-06-01T12:00:00Z".parse().unwrap()
    }

    fn account(number: u8, age: Option<TimeDelta>, failures: &[Reason]) -> AccountState {
        let id = format!("{number:012}").parse().unwrap();
        let inventory = age.map(|age| Inventory {
            account: Account {
                id,
                partition: "aws".into(),
                name: None,
                alias: None,
            },
            users: vec![User::unread("a", Vec::new(), Reason::AccessDenied)],
            user_count: Some(1),
            root: RootKeys::default(),
            data_time: now() - age,
            listing: Listing::Complete,
            troubles: Vec::new(),
        });
        AccountState {
            id,
            reached: inventory.is_some(),
            inventory: inventory.map(Arc::new),
            failures: failures.to_vec(),
            last_success: None,
            duration: Duration::ZERO,
        }
    }

    fn snapshot(accounts: Vec<AccountState>) -> Snapshot {
        Snapshot {
            accounts,
            tried: true,
            ..Snapshot::before_first_refresh(
                Arc::new(Policy::default()),
                KeyIdDisplay::Full,
                Duration::from_mins(5),
            )
        }
    }

    fn said(snapshot: &Snapshot) -> Vec<String> {
        let health = Health::of(snapshot, now());
        health.notices.into_iter().map(|n| n.text).collect()
    }

    fn states(snapshot: &Snapshot) -> Vec<(Tone, String)> {
        let health = Health::of(snapshot, now());
        let state = |account: AccountHealth<'_>| (account.tone, account.text);
        health.accounts.into_iter().map(state).collect()
    }

    #[test]
    fn before_anything_is_known_it_says_so_and_why() {
        let mut snapshot = snapshot(Vec::new());
        snapshot.tried = false;
        assert!(said(&snapshot)[0].contains("Nothing has been loaded yet"));
        snapshot.tried = true;
        snapshot.unidentified = Some(Reason::Credentials);
        let said = said(&snapshot);
        assert!(
            said[0].contains("there are no valid credentials (credentials)"),
            "{said:?}"
        );
        assert!(said[1].contains("No account could be read yet"), "{said:?}");
    }

    #[test]
    fn all_is_well_in_one_sentence() {
        let mut up = account(1, Some(TimeDelta::minutes(2)), &[]);
        up.last_success = Some(now() - TimeDelta::minutes(2));
        let one = snapshot(vec![up.clone()]);
        assert_eq!(
            said(&one),
            ["The data is 2 minutes old. The account was read completely."]
        );
        assert_eq!(Health::of(&one, now()).tone(), Tone::Good);
        let two = snapshot(vec![up.clone(), up]);
        assert_eq!(
            said(&two),
            ["The oldest data is 2 minutes old. All 2 accounts were read completely."]
        );
    }

    #[test]
    fn what_was_read_in_part_or_not_at_all_is_told_by_account_the_worst_first() {
        let fresh = Some(TimeDelta::minutes(1));
        let mut unreached = account(3, fresh, &[Reason::Timeout]);
        unreached.reached = false;
        let snapshot = snapshot(vec![
            account(1, fresh, &[]),
            account(2, fresh, &[Reason::AccessDenied]),
            unreached,
            account(4, None, &[Reason::Network, Reason::Tls]),
        ]);
        let said = said(&snapshot);
        assert!(
            said[0].contains("Of 4 accounts, 1 was read completely. What is shown"),
            "{said:?}"
        );
        let expected = [
            (
                Tone::Bad,
                "never read: there is no connection (network); the TLS handshake failed (tls)",
            ),
            (
                Tone::Warning,
                "1 user could not be read; a permission is missing (access_denied); the data is 1 minute old",
            ),
            (
                Tone::Warning,
                "could not be read: no answer came in time (timeout); the data shown is 1 minute old",
            ),
            (Tone::Good, "the data is 1 minute old"),
        ];
        let expected = expected.map(|(tone, text)| (tone, text.to_owned()));
        assert_eq!(states(&snapshot), expected);
    }

    #[test]
    fn stale_is_more_than_two_intervals_since_the_last_whole_refresh() {
        let mut state = account(1, Some(TimeDelta::minutes(10)), &[Reason::Throttled]);
        state.last_success = Some(now() - TimeDelta::minutes(10));
        assert!(
            !said(&snapshot(vec![state.clone()]))
                .concat()
                .contains("Stale")
        );
        state.last_success = Some(now() - TimeDelta::seconds(601));
        let said = said(&snapshot(vec![state]));
        assert!(
            said.iter().any(|text| text.starts_with("Stale: 1 account is without a whole refresh for more than two intervals (10 minutes).")),
            "{said:?}"
        );
    }

    #[test]
    fn a_report_of_yesterday_is_old_even_if_it_was_just_read() {
        let mut state = account(1, Some(TimeDelta::days(3)), &[]);
        state.last_success = Some(now());
        let snapshot = snapshot(vec![state]);
        let said = said(&snapshot).concat();
        assert!(said.contains("The data is 3 days old."), "{said}");
        assert!(
            said.contains("Old data: what is shown is as of 2026-05-29T12:00:00Z."),
            "{said}"
        );
        assert_eq!(Health::of(&snapshot, now()).tone(), Tone::Warning);
    }
}
