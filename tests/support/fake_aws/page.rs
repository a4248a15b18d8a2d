//! Pagination: `MaxItems` and `Marker` in, `IsTruncated` and `Marker` out.

use std::collections::BTreeMap;
use std::ops::Bound;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::wire::{ErrorCode, Failure, Form, element};

/// How generous the pages are. IAM promises no more than that `IsTruncated` says whether there is more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PageStyle {
    /// As many items as were asked for.
    #[default]
    Full,
    /// Never more than so many, whatever was asked for.
    AtMost(usize),
    /// Before every page comes an empty one that says there is more.
    EmptyBetween,
}

/// Where a page starts and how long it may get.
pub(super) struct Cursor {
    limit: usize,
    after: Option<String>,
    empty: bool,
}

/// A page of a listing, and the marker of the next one.
pub(super) struct Page<'a, V> {
    pub(super) items: Vec<(&'a str, &'a V)>,
    next: Option<String>,
}

/// A marker is opaque to clients: base64, so with characters that must survive form encoding. Inside is the last name
/// given, after a letter that says whether the empty page has been given already.
const EMPTY_GIVEN: &str = "e";
const EMPTY_DUE: &str = "d";

impl Cursor {
    /// Reads what the client asked for: 100 items unless it says so, 1 000 at most.
    pub(super) fn read(form: &Form, style: PageStyle) -> Result<Self, Failure> {
        let invalid = |what: &str| {
            Failure::new(
                ErrorCode::ValidationError,
                format!(
                    "1 validation error detected: Value at '{what}' failed to satisfy constraint"
                ),
            )
        };
        let asked = match form.get("MaxItems") {
            None => 100,
            Some(text) => text
                .parse()
                .ok()
                .filter(|asked| (1..=1_000).contains(asked))
                .ok_or_else(|| invalid("maxItems"))?,
        };
        let (after, empty_given) = match form.get("Marker") {
            None => (None, false),
            Some(marker) => {
                let text = BASE64
                    .decode(marker)
                    .ok()
                    .and_then(|bytes| String::from_utf8(bytes).ok())
                    .ok_or_else(|| invalid("marker"))?;
                let (kind, name) = text.split_at_checked(1).ok_or_else(|| invalid("marker"))?;
                // Names are never empty, so an empty one stands for the very beginning.
                let after = (!name.is_empty()).then(|| name.to_owned());
                (after, kind == EMPTY_GIVEN)
            }
        };
        Ok(Self {
            limit: match style {
                PageStyle::AtMost(most) => asked.min(most.max(1)),
                PageStyle::Full | PageStyle::EmptyBetween => asked,
            },
            after,
            empty: style == PageStyle::EmptyBetween && !empty_given,
        })
    }

    /// The page of `all` that starts here.
    pub(super) fn page<'a, V>(&self, all: &'a BTreeMap<String, V>) -> Page<'a, V> {
        let start = match &self.after {
            None => Bound::Unbounded,
            Some(name) => Bound::Excluded(name.as_str()),
        };
        let mut rest = all.range::<str, _>((start, Bound::Unbounded)).peekable();
        if self.empty && rest.peek().is_some() {
            let after = self.after.as_deref().unwrap_or_default();
            return Page {
                items: Vec::new(),
                next: Some(marker(EMPTY_GIVEN, after)),
            };
        }
        let items: Vec<_> = rest
            .by_ref()
            .take(self.limit)
            .map(|(name, value)| (name.as_str(), value))
            .collect();
        let next = match (items.last(), rest.peek()) {
            (Some((last, _)), Some(_)) => Some(marker(EMPTY_DUE, last)),
            _ => None,
        };
        Page { items, next }
    }
}

fn marker(kind: &str, after: &str) -> String {
    BASE64.encode(format!("{kind}{after}"))
}

impl<V> Page<'_, V> {
    /// `IsTruncated`, and `Marker` where there is more.
    pub(super) fn head(&self) -> String {
        match &self.next {
            None => element("IsTruncated", "false"),
            Some(marker) => element("IsTruncated", "true") + &element("Marker", marker),
        }
    }
}
