//! A place in the list that can be handed out and come back.

use std::cmp::Ordering;

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};

use super::{
    Row,
    order::{Place, Rank, compare},
    query::{Order, Query, Sort},
};
use crate::{key::AccountId, snapshot::KeyIdDisplay};

/// The longest cursor that is looked at, in characters; IAM's names have 64 at most.
const LONGEST: usize = 4096;

/// The place of a row, told by its values, so that it stays where it is while rows come and go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    rank: Option<Rank<'static>>,
    account: AccountId,
    user: String,
    created: Option<(i64, u32)>,
    ordinal: usize,
}

/// A cursor as it is written. It tells the order it belongs to.
#[derive(Serialize, Deserialize)]
struct Written<'a>(
    &'a str,
    &'a str,
    #[serde(borrow)] Option<Rank<'a>>,
    String,
    String,
    Option<(i64, u32)>,
    usize,
);

impl Cursor {
    /// The place of `row` under an order.
    pub fn of(row: Row<'_>, sort: Sort, key_ids: KeyIdDisplay) -> Self {
        let place = Place::of(row, sort, key_ids);
        let (account, user, created, ordinal) = place.identity();
        Self {
            account,
            user: user.to_owned(),
            created,
            ordinal,
            rank: place.rank.map(Rank::into_owned),
        }
    }

    /// The cursor as a text that needs no escaping in a URL.
    pub fn write(&self, sort: Sort, order: Order) -> String {
        let written = Written(
            sort.name(),
            order.name(),
            self.rank.clone(),
            self.account.to_string(),
            self.user.clone(),
            self.created,
            self.ordinal,
        );
        let text = serde_json::to_vec(&written).expect("texts and numbers make JSON");
        BASE64_URL_SAFE_NO_PAD.encode(text)
    }

    /// The cursor that a text stands for under an order; `None` if it is none of this order.
    pub fn read(text: &str, sort: Sort, order: Order) -> Option<Self> {
        if text.len() > LONGEST {
            return None;
        }
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).ok()?;
        let Written(of_sort, of_order, rank, account, user, created, ordinal) =
            serde_json::from_slice(&bytes).ok()?;
        if (of_sort, of_order) != (sort.name(), order.name()) {
            return None;
        }
        Some(Self {
            rank: rank.map(Rank::into_owned),
            account: account.parse().ok()?,
            user,
            created,
            ordinal,
        })
    }

    /// Whether the row comes after this place.
    pub(super) fn precedes(&self, place: &Place<'_>, direction: Order) -> bool {
        let identity = (self.account, &*self.user, self.created, self.ordinal);
        let other = place.identity();
        compare(
            (self.rank.as_ref(), &identity),
            (place.rank.as_ref(), &other),
            direction,
        ) == Ordering::Less
    }
}

/// The cursor of the row after which a page ends.
pub fn after(row: Row<'_>, query: &Query, key_ids: KeyIdDisplay) -> String {
    Cursor::of(row, query.sort, key_ids).write(query.sort, query.order)
}
