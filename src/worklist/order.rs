//! The total order of rows, and a part of it without sorting the whole.

use std::{borrow::Cow, cmp::Ordering};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{
    Row,
    query::{Order, Sort, VERDICTS},
};
use crate::{
    key::{AccountId, LastUse},
    rotation::Step,
    snapshot::KeyIdDisplay,
};

/// The value that a row is ordered by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Rank<'a> {
    /// Seconds and nanoseconds of an instant.
    Instant(i64, u32),
    /// A place in a closed list.
    Place(usize),
    /// A place in a closed list, and an instant within it; none comes last.
    Within(usize, Instant),
    /// A text.
    Text(Cow<'a, str>),
}

/// Whether there is none, seconds and nanoseconds.
type Instant = (bool, i64, u32);

/// An instant as a rank; also one before all that a clock can show.
pub(super) fn instant(instant: DateTime<Utc>) -> (i64, u32) {
    (instant.timestamp(), instant.timestamp_subsec_nanos())
}

/// A row and where it stands.
#[derive(Debug, Clone)]
pub(super) struct Place<'a> {
    /// What it is ordered by; `None` comes last.
    pub(super) rank: Option<Rank<'a>>,
    pub(super) row: Row<'a>,
}

/// What tells a row from all others, in the order of equals. It holds no key id, so that a cursor
/// doesn't give away what is not to be shown.
pub(super) type Identity<'a> = (AccountId, &'a str, Option<(i64, u32)>, usize);

impl<'a> Place<'a> {
    pub(super) fn of(row: Row<'a>, sort: Sort, key_ids: KeyIdDisplay) -> Self {
        let rank = match sort {
            Sort::Urgency => {
                let worst_first = |(_, verdict): &(_, _)| *verdict == row.verdict;
                let due = row.due.map(instant);
                let (seconds, nanoseconds) = due.unwrap_or_default();
                VERDICTS
                    .iter()
                    .position(worst_first)
                    .map(|place| Rank::Within(place, (due.is_none(), seconds, nanoseconds)))
            }
            Sort::Account => Some(Rank::Text(row.account.id.to_string().into())),
            Sort::User => Some(Rank::Text(Cow::Borrowed(&row.user.name))),
            Sort::Key => row.key.map(|key| match key_ids {
                KeyIdDisplay::Full => Rank::Text(Cow::Borrowed(key.name.as_str())),
                KeyIdDisplay::Last4 | KeyIdDisplay::None => {
                    Rank::Text(Cow::Owned(key_ids.names(row.user).swap_remove(row.ordinal)))
                }
            }),
            Sort::Status => row.key.map(|key| Rank::Text(key.status.as_str().into())),
            Sort::Age => row.key.map(|key| at(key.created)),
            Sort::Left => row.due.map(at),
            Sort::LastUsed => row.key.and_then(|key| match &key.last_use {
                LastUse::At(used) => Some(at(used.time)),
                LastUse::Never => Some(Rank::Instant(i64::MIN, 0)),
                LastUse::Unknown => None,
            }),
            Sort::Step => position(&Step::NAMES[1..], |name| *name == row.step),
        };
        Self { rank, row }
    }

    pub(super) fn identity(&self) -> Identity<'a> {
        let Row {
            account,
            user,
            key,
            ordinal,
            ..
        } = self.row;
        let created = key.map(|key| instant(key.created));
        (account.id, &user.name, created, ordinal)
    }

    pub(super) fn compare(&self, other: &Self, direction: Order) -> Ordering {
        compare(
            (self.rank.as_ref(), &self.identity()),
            (other.rank.as_ref(), &other.identity()),
            direction,
        )
    }
}

fn at(time: DateTime<Utc>) -> Rank<'static> {
    let (seconds, nanoseconds) = instant(time);
    Rank::Instant(seconds, nanoseconds)
}

fn position<T>(list: &[T], is_it: impl Fn(&T) -> bool) -> Option<Rank<'static>> {
    list.iter().position(is_it).map(Rank::Place)
}

/// The order of rows: the direction is that of the ranks alone.
pub(super) fn compare(
    (a, first): (Option<&Rank<'_>>, &Identity<'_>),
    (b, second): (Option<&Rank<'_>>, &Identity<'_>),
    direction: Order,
) -> Ordering {
    a.is_none()
        .cmp(&b.is_none())
        .then_with(|| match direction {
            Order::Ascending => a.cmp(&b),
            Order::Descending => b.cmp(&a),
        })
        .then_with(|| first.cmp(second))
}

/// The items from `start` on, at most `limit`, as if all had been sorted.
pub(super) fn slice<T>(
    items: &mut [T],
    start: usize,
    limit: usize,
    mut compare: impl FnMut(&T, &T) -> Ordering,
) -> &[T] {
    let start = start.min(items.len());
    if start > 0 && start < items.len() {
        items.select_nth_unstable_by(start, &mut compare);
    }
    let rest = &mut items[start..];
    let len = limit.min(rest.len());
    if len > 0 && len < rest.len() {
        rest.select_nth_unstable_by(len, &mut compare);
    }
    let page = &mut rest[..len];
    page.sort_unstable_by(compare);
    page
}

impl Rank<'_> {
    pub(super) fn into_owned(self) -> Rank<'static> {
        match self {
            Self::Instant(seconds, nanoseconds) => Rank::Instant(seconds, nanoseconds),
            Self::Place(place) => Rank::Place(place),
            Self::Within(place, instant) => Rank::Within(place, instant),
            Self::Text(text) => Rank::Text(Cow::Owned(text.into_owned())),
        }
    }
}
