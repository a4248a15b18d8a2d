//! Rules for some users: another max age, or a dispensation.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};

use crate::{
    glob::Glob,
    inventory::{Account, Exemption, Tags, User},
    key::AccountId,
};

/// A max age of their own for the users that match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Override {
    /// Whom it is for.
    pub matcher: Matcher,
    /// The age up to which an active key of theirs is in order.
    pub max_age: TimeDelta,
}

/// A dispensation for the users that match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExemptionRule {
    /// Whom it is for.
    pub matcher: Matcher,
    /// What they are given.
    pub exemption: Exemption,
}

/// Which users a rule is for: those that fit every part which isn't empty, and each of these by
/// any one of its items, save for `tags`, all of which are needed. Letter case counts everywhere.
/// With no part at all it is everybody.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Matcher {
    /// The account is one of these.
    pub account_ids: Vec<AccountId>,
    /// The name of the account in its organisation fits one of these.
    pub account_names: Vec<Glob>,
    /// The user's name fits one of these.
    pub user_names: Vec<Glob>,
    /// The user's path begins with one of these.
    pub paths: Vec<Arc<str>>,
    /// The user has all of these tags.
    pub tags: Vec<TagMatcher>,
}

/// A tag that a user must have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagMatcher {
    /// The tag's key, exactly.
    pub key: Arc<str>,
    /// Its value fits one of these.
    pub values: Vec<Glob>,
}

/// Whether a rule is for a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fit {
    Yes,
    No,
    /// It hangs on what isn't known of the user: the tags, or the name of the account.
    Unknown,
}

impl Fit {
    fn of(fits: bool) -> Self {
        if fits { Self::Yes } else { Self::No }
    }

    /// Of both: what doesn't fit in one part doesn't fit, whatever isn't known of another.
    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::No, _) | (_, Self::No) => Self::No,
            (Self::Unknown, _) | (_, Self::Unknown) => Self::Unknown,
            (Self::Yes, Self::Yes) => Self::Yes,
        }
    }
}

impl Matcher {
    /// Whether it is for `user` of `account`.
    pub(super) fn fit(&self, account: &Account, user: &User) -> Fit {
        let Self {
            account_ids,
            account_names,
            user_names,
            paths,
            tags,
        } = self;
        let known = (account_ids.is_empty() || account_ids.contains(&account.id))
            && any(user_names, &user.name)
            && (paths.is_empty() || paths.iter().any(|path| user.path.starts_with(&**path)));
        let by_account_name = match &account.name {
            _ if account_names.is_empty() => Fit::Yes,
            Some(name) => Fit::of(any(account_names, name)),
            None => Fit::Unknown,
        };
        let by_tags = match &user.tags {
            _ if tags.is_empty() => Fit::Yes,
            Tags::Known(_) => Fit::of(tags.iter().all(|tag| tag.fits(&user.tags))),
            Tags::NotAsked | Tags::Unread(_) => Fit::Unknown,
        };
        Fit::of(known).and(by_account_name).and(by_tags)
    }
}

/// Whether one of the patterns fits; if there is none, nothing is asked for.
fn any(patterns: &[Glob], text: &str) -> bool {
    patterns.is_empty() || patterns.iter().any(|pattern| pattern.matches(text))
}

impl TagMatcher {
    fn fits(&self, tags: &Tags) -> bool {
        tags.get(&self.key)
            .is_some_and(|value| any(&self.values, value))
    }
}

impl ExemptionRule {
    /// The instant up to which it counts, for comparing.
    pub(super) fn end(&self) -> DateTime<Utc> {
        self.exemption.until.unwrap_or(DateTime::<Utc>::MAX_UTC)
    }
}
