//! The values that a file's fields take, each with the words for what is allowed.
//!
//! No error shows the value: a place in the file is given, and a secret may have got into the wrong
//! field.

use std::{
    collections::BTreeMap, fmt, marker::PhantomData, str::FromStr, sync::Arc, time::Duration,
};

use chrono::{DateTime, Days as CalendarDays, NaiveDate, NaiveTime, TimeDelta, Utc};
use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, SeqAccess, Unexpected, Visitor},
};

use crate::{
    cli::MOST_DAYS,
    glob::Glob,
    key::AccountId,
    policy::Boundary,
    source::accounts::{ExternalId, OuId, RegionName, RoleArn, RoleName, SessionName},
};

/// What is written as a single text.
pub(super) trait Written: FromStr {
    /// What is allowed, to go after "must be".
    const ALLOWED: &'static str;
}

/// A value read from a text.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Text<T>(pub(super) T);

impl<'de, T: Written> Deserialize<'de> for Text<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse()
            .map(Self)
            .map_err(|_| D::Error::custom(format_args!("must be {}", T::ALLOWED)))
    }
}

impl Written for AccountId {
    const ALLOWED: &'static str = "an account id, which has 12 digits";
}

impl Written for Glob {
    const ALLOWED: &'static str = "a pattern, which can't be empty; * matches everything";
}

impl Written for RoleArn {
    const ALLOWED: &'static str =
        "the ARN of a role, e.g. arn:aws:iam::111122223333:role/iam-key-exporter";
}

impl Written for RoleName {
    const ALLOWED: &'static str = "the name of a role, at most 64 of letters, digits and +=,.@_-, \
         with its path before it if it has one, e.g. audit/iam-key-exporter";
}

impl Written for ExternalId {
    const ALLOWED: &'static str = "an external id: 2 to 1224 of letters, digits and +=,.@:/_-";
}

impl Written for SessionName {
    const ALLOWED: &'static str = "a session name: 2 to 64 of letters, digits and +=,.@_-";
}

impl Written for RegionName {
    const ALLOWED: &'static str = "a region, e.g. eu-central-1";
}

impl Written for OuId {
    const ALLOWED: &'static str =
        "the id of an organizational unit (ou-xxxx-xxxxxxxx) or of the root (r-xxxx)";
}

/// The value isn't what is allowed; [`Written::ALLOWED`] says what is.
#[derive(Debug)]
pub(super) struct NotAllowed;

/// Defines a checked text.
macro_rules! checked {
    ($(#[$doc:meta])* $name:ident, $allowed:literal, $is_allowed:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
        pub(super) struct $name(pub(super) Arc<str>);

        impl Written for $name {
            const ALLOWED: &'static str = $allowed;
        }

        impl FromStr for $name {
            type Err = NotAllowed;

            fn from_str(text: &str) -> Result<Self, NotAllowed> {
                let text = text.trim();
                let is_allowed: fn(&str) -> bool = $is_allowed;
                is_allowed(text).then(|| Self(text.into())).ok_or(NotAllowed)
            }
        }
    };
}

checked!(
    /// What an auditor reads.
    Reason,
    "the reason for an auditor, in one line that isn't empty",
    |text| !text.is_empty() && !text.chars().any(char::is_control)
);

checked!(
    /// What an account is called on every surface.
    AccountName,
    "a name in one line that isn't empty",
    |text| !text.is_empty() && !text.chars().any(char::is_control)
);

checked!(
    /// What a user's path begins with. It ends in a slash, or `/machines` would also be for
    /// `/machines-old/`.
    ///
    /// Source: IAM API Reference, `User` (`Path`).
    PathPrefix,
    "a path or its beginning, which begins and ends with a slash, e.g. /machines/",
    |text| text.starts_with('/')
        && text.ends_with('/')
        && text.len() <= 512
        && text.chars().all(|c| matches!(c, '!'..='~'))
);

checked!(
    /// The key of a tag.
    ///
    /// Source: IAM API Reference, `Tag` (`Key`).
    TagKey,
    "the key of a tag: 1 to 128 of letters, digits, spaces and _.:/=+-@",
    |text| (1..=128).contains(&text.chars().count())
        && text.chars().all(|c| c.is_alphanumeric() || " _.:/=+-@".contains(c))
);

checked!(
    /// What a label is called after `tag_`.
    LabelName,
    "letters, digits and _, which tag_ is put before to name the label",
    |text| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
);

/// A pattern for the names of users: what can't be in one is a slip, such as the `[` of other
/// patterns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct UserPattern(pub(super) Glob);

impl Written for UserPattern {
    const ALLOWED: &'static str = "a pattern for user names: letters, digits and +=,.@_-, with * for any text and ? \
         for any one character";
}

impl FromStr for UserPattern {
    type Err = NotAllowed;

    fn from_str(text: &str) -> Result<Self, NotAllowed> {
        let is_allowed = |c: char| c.is_ascii_alphanumeric() || "+=,.@_-*?".contains(c);
        match text.parse() {
            Ok(glob) if text.chars().all(is_allowed) => Ok(Self(glob)),
            _ => Err(NotAllowed),
        }
    }
}

/// A reading of "older than N days".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BoundaryName(pub(super) Boundary);

impl Written for BoundaryName {
    const ALLOWED: &'static str = "exact, utc-midnight or whole-days";
}

impl FromStr for BoundaryName {
    type Err = NotAllowed;

    fn from_str(text: &str) -> Result<Self, NotAllowed> {
        let named = Boundary::ALL.iter().find(|(name, _)| *name == text);
        named.map(|(_, boundary)| Self(*boundary)).ok_or(NotAllowed)
    }
}

/// The instant from which something no longer counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Until(pub(super) DateTime<Utc>);

impl Written for Until {
    const ALLOWED: &'static str = "a date, e.g. 2027-01-31, which counts to its end in UTC, or a time in RFC 3339, \
         e.g. 2027-01-31T12:00:00Z";
}

impl FromStr for Until {
    type Err = NotAllowed;

    fn from_str(text: &str) -> Result<Self, NotAllowed> {
        if text.len() == "2027-01-31".len() {
            let last_day: NaiveDate = text.parse().map_err(|_| NotAllowed)?;
            let next_day = last_day.checked_add_days(CalendarDays::new(1));
            let midnight = next_day.map(|day| day.and_time(NaiveTime::MIN).and_utc());
            return midnight.map(Self).ok_or(NotAllowed);
        }
        DateTime::parse_from_rfc3339(text)
            .map(|instant| Self(instant.to_utc()))
            .map_err(|_| NotAllowed)
    }
}

/// From one look at an organisation to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Interval(pub(super) Duration);

impl Written for Interval {
    const ALLOWED: &'static str = "a time from 1m to 7d with its unit, e.g. 30m or 1h";
}

impl FromStr for Interval {
    type Err = NotAllowed;

    fn from_str(text: &str) -> Result<Self, NotAllowed> {
        let allowed = Duration::from_mins(1)..=Duration::from_hours(7 * 24);
        match humantime::parse_duration(text) {
            Ok(interval) if allowed.contains(&interval) => Ok(Self(interval)),
            _ => Err(NotAllowed),
        }
    }
}

/// A whole number of days.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Days<const LEAST: u32>(u32);

impl<const LEAST: u32> From<Days<LEAST>> for TimeDelta {
    fn from(Days(days): Days<LEAST>) -> Self {
        Self::days(days.into())
    }
}

impl<'de, const LEAST: u32> Deserialize<'de> for Days<LEAST> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct DaysVisitor<const LEAST: u32>;

        impl<const LEAST: u32> Visitor<'_> for DaysVisitor<LEAST> {
            type Value = Days<LEAST>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a whole number of days from {LEAST} to {MOST_DAYS}")
            }

            fn visit_u64<E: Error>(self, days: u64) -> Result<Self::Value, E> {
                u32::try_from(days)
                    .ok()
                    .filter(|days| (LEAST..=MOST_DAYS).contains(days))
                    .map(Days)
                    .ok_or_else(|| {
                        E::custom(format_args!(
                            "must be a whole number of days from {LEAST} to {MOST_DAYS}"
                        ))
                    })
            }

            fn visit_i64<E: Error>(self, days: i64) -> Result<Self::Value, E> {
                self.visit_u64(u64::try_from(days).unwrap_or(u64::MAX))
            }

            fn visit_str<E: Error>(self, _: &str) -> Result<Self::Value, E> {
                Err(E::invalid_type(Unexpected::Other("text"), &self))
            }
        }

        deserializer.deserialize_any(DaysVisitor)
    }
}

/// A list with something in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NonEmpty<T>(pub(super) Vec<T>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for NonEmpty<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ListVisitor<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for ListVisitor<T> {
            type Value = NonEmpty<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
                let mut list = Vec::new();
                while let Some(item) = items.next_element()? {
                    list.push(item);
                }
                if list.is_empty() {
                    return Err(A::Error::custom(
                        "must have at least one item; leave the field out for none",
                    ));
                }
                Ok(NonEmpty(list))
            }
        }

        deserializer.deserialize_seq(ListVisitor(PhantomData))
    }
}

/// A mapping with something in it, by keys that are read from texts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NonEmptyMap<K, V>(pub(super) BTreeMap<K, V>);

impl<'de, K: Written + Ord, V: Deserialize<'de>> Deserialize<'de> for NonEmptyMap<K, V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MapVisitor<K, V>(PhantomData<(K, V)>);

        impl<'de, K: Written + Ord, V: Deserialize<'de>> Visitor<'de> for MapVisitor<K, V> {
            type Value = NonEmptyMap<K, V>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a mapping")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
                let mut map = BTreeMap::new();
                while let Some((Text(key), value)) = items.next_entry::<Text<K>, V>()? {
                    // The parser knows keys as they are written; with spaces around, two are one.
                    if map.insert(key, value).is_some() {
                        return Err(A::Error::custom("a key is given twice"));
                    }
                }
                if map.is_empty() {
                    return Err(A::Error::custom(
                        "must have at least one item; leave the field out for none",
                    ));
                }
                Ok(NonEmptyMap(map))
            }
        }

        deserializer.deserialize_map(MapVisitor(PhantomData))
    }
}

/// A field that may be left out, but has a value if it is there: null isn't one.
pub(super) fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    struct GivenVisitor<T>(PhantomData<T>);

    impl<'de, T: Deserialize<'de>> Visitor<'de> for GivenVisitor<T> {
        type Value = Option<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a value")
        }

        fn visit_none<E: Error>(self) -> Result<Self::Value, E> {
            Err(E::custom("has no value; leave the field out for none"))
        }

        fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
            self.visit_none()
        }

        fn visit_some<D: Deserializer<'de>>(self, value: D) -> Result<Self::Value, D::Error> {
            T::deserialize(value).map(Some)
        }
    }

    deserializer.deserialize_option(GivenVisitor(PhantomData))
}
