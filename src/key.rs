//! Access keys and the names they go by: the words every other part is written in.

use std::{fmt, str::FromStr, sync::Arc};

use chrono::{DateTime, TimeDelta, Utc};
use smol_str::SmolStr;

use crate::intern::{Pair, Rare};

/// Seconds in a day. IAM and every benchmark count in days of 86 400 s.
pub const SECONDS_PER_DAY: u32 = 86_400;

/// The 12 digits of an AWS account, leading zeros kept.
///
/// Source: AWS Account Management Reference Guide, "AWS account identifiers".
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountId([u8; 12]);

impl AccountId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("an account id holds ASCII digits only")
    }
}

impl fmt::Display for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that is not an account id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{}\" is not an AWS account id: 12 digits are needed", .0.escape_debug())]
pub struct BadAccountId(String);

impl FromStr for AccountId {
    type Err = BadAccountId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        <[u8; 12]>::try_from(text.as_bytes())
            .ok()
            .filter(|digits| digits.iter().all(u8::is_ascii_digit))
            .map(Self)
            .ok_or_else(|| BadAccountId(text.to_owned()))
    }
}

/// The account and partition that an ARN names.
///
/// The partition (`aws`, `aws-us-gov`, `aws-cn`, …) is read, never assumed: new ones keep appearing.
/// Source: AWS IAM User Guide, "IAM ARNs" (`arn:partition:service:region:account:resource`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArnOwner {
    /// The account part.
    pub account: AccountId,
    /// The partition part.
    pub partition: Arc<str>,
}

/// A text that is not an ARN of a resource in an account.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{}\" is not an ARN of a resource in an account", .0.escape_debug())]
pub struct BadArn(String);

impl FromStr for ArnOwner {
    type Err = BadArn;

    fn from_str(arn: &str) -> Result<Self, Self::Err> {
        let mut parts = arn.splitn(6, ':');
        match [(); 6].map(|()| parts.next()) {
            [
                Some("arn"),
                Some(partition),
                Some(_),
                Some(_),
                Some(account),
                Some(_),
            ] if !partition.is_empty() => account
                .parse()
                .map(|account| Self {
                    account,
                    partition: partition.into(),
                })
                .map_err(|_| BadArn(arn.to_owned())),
            _ => Err(BadArn(arn.to_owned())),
        }
    }
}

/// Which of the two key columns of a credential report a key stands in.
///
/// A slot follows key-id order and may shift when a key is deleted, so it never identifies a key
/// where the id can be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Slot {
    /// `access_key_1_*`
    One,
    /// `access_key_2_*`
    Two,
}

/// What names a key within its account.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyName {
    /// The access key id, e.g. `AKIAIOSFODNN7EXAMPLE`. It is an identifier, not a secret.
    Id(SmolStr),
    /// The place in a credential report, which carries no ids.
    Slot(Slot),
}

impl KeyName {
    /// The id, or `slot-1` / `slot-2` where there is none.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Id(id) => id,
            Self::Slot(Slot::One) => "slot-1",
            Self::Slot(Slot::Two) => "slot-2",
        }
    }
}

impl fmt::Display for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The status of a key as IAM gives it.
///
/// Source: IAM API Reference, `AccessKeyMetadata`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum KeyStatus {
    /// The key signs requests.
    Active,
    /// The key was deactivated and can be activated again.
    Inactive,
    /// The key has expired.
    Expired,
    /// A status this version knows nothing of. Whether such a key works can't be told, so its
    /// verdict is an error and its user doesn't count as read.
    Other(Rare),
}

impl KeyStatus {
    /// The status in AWS's spelling.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Active => "Active",
            Self::Inactive => "Inactive",
            Self::Expired => "Expired",
            Self::Other(text) => text.as_str(),
        }
    }
}

impl From<&str> for KeyStatus {
    fn from(text: &str) -> Self {
        match text {
            "Active" => Self::Active,
            "Inactive" => Self::Inactive,
            "Expired" => Self::Expired,
            other => Self::Other(other.into()),
        }
    }
}

/// When a key last signed a request, as far as it is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LastUse {
    /// AWS gave a time.
    At(UsedAt),
    /// AWS said that the key was never used (since it began tracking, in April 2015).
    Never,
    /// Not asked, or not allowed to ask. Never taken for [`LastUse::Never`].
    Unknown,
}

/// A use that AWS recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsedAt {
    /// When; AWS may be up to some hours behind.
    pub time: DateTime<Utc>,
    /// Service and region: of their combinations there are few.
    place: Pair,
    spare: Spare,
}

/// A byte of one value: the others tell the other variants of [`LastUse`], which then need no room of
/// their own. There is one in every key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Spare {
    Zero,
}

impl UsedAt {
    /// A use of `service` in `region` at `time`.
    pub fn new(time: DateTime<Utc>, service: &str, region: &str) -> Self {
        Self {
            time,
            place: Pair::of(service, region),
            spare: Spare::Zero,
        }
    }

    /// The service called, e.g. `s3`; `N/A` where AWS doesn't know.
    pub fn service(&self) -> &str {
        self.place.first()
    }

    /// The region called, e.g. `us-east-1`; `N/A` for global services.
    pub fn region(&self) -> &str {
        self.place.second()
    }
}

/// One access key of an IAM user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessKey {
    /// Its id, or its slot.
    pub name: KeyName,
    /// Its status when it was read.
    pub status: KeyStatus,
    /// `CreateDate`. It never changes for a key.
    pub created: DateTime<Utc>,
    /// Its last use when it was read.
    pub last_use: LastUse,
}

impl AccessKey {
    /// Whether the key signs requests.
    pub fn is_active(&self) -> bool {
        self.status == KeyStatus::Active
    }

    /// `now - CreateDate`, never below zero (clocks differ).
    pub fn age(&self, now: DateTime<Utc>) -> TimeDelta {
        since(self.created, now)
    }

    /// How long the key has gone unused: since its last use, since its creation if never used, and
    /// zero where that isn't known, for unknown counts as "used now".
    pub fn idle(&self, now: DateTime<Utc>) -> TimeDelta {
        match &self.last_use {
            LastUse::At(used) => since(used.time, now),
            LastUse::Never => self.age(now),
            LastUse::Unknown => TimeDelta::zero(),
        }
    }
}

/// `now - then`, never below zero.
fn since(then: DateTime<Utc>, now: DateTime<Utc>) -> TimeDelta {
    (now - then).max(TimeDelta::zero())
}

/// A span in days of 86 400 s, with its fraction.
pub fn days(span: TimeDelta) -> f64 {
    span.as_seconds_f64() / f64::from(SECONDS_PER_DAY)
}

/// An instant in Unix seconds, with its fraction.
pub fn unix_seconds(instant: DateTime<Utc>) -> f64 {
    #[expect(
        clippy::cast_precision_loss,
        reason = "chrono's seconds stay below 2^53, where f64 is exact"
    )]
    let whole = instant.timestamp() as f64;
    whole + f64::from(instant.timestamp_subsec_nanos()) / 1e9
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_id_is_twelve_digits_with_its_leading_zeros() {
        let id: AccountId = "000000000012".parse().unwrap();
        assert_eq!(id.to_string(), "000000000012");
        for bad in [
            "",
            "12345678901",
            "1234567890123",
            "12345678901x",
            "١٢٣٤٥٦",
            " 12345678901",
        ] {
            let error = bad.parse::<AccountId>().unwrap_err().to_string();
            assert!(error.contains("12 digits"), "{error}");
        }
    }

    #[test]
    fn the_partition_is_read_from_the_arn() {
        for (arn, partition) in [
            ("arn:aws:sts::123456789012:assumed-role/r/s", "aws"),
            ("arn:aws-us-gov:iam::123456789012:user/a", "aws-us-gov"),
            ("arn:aws-cn:iam::123456789012:root", "aws-cn"),
            ("arn:aws-eusc:iam::123456789012:user/x:y", "aws-eusc"),
        ] {
            let owner: ArnOwner = arn.parse().unwrap();
            assert_eq!(&*owner.partition, partition);
            assert_eq!(owner.account.as_str(), "123456789012");
        }
        for bad in [
            "",
            "arn:aws:iam::123456789012",
            "arn::iam::123456789012:user/a",
            "x:aws:iam::1:u",
        ] {
            assert!(bad.parse::<ArnOwner>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_key_is_small() {
        assert_eq!(size_of::<LastUse>(), size_of::<UsedAt>());
        assert_eq!(size_of::<AccessKey>(), 64);
    }

    #[test]
    fn age_and_idle_time_are_never_negative() {
        let created = DateTime::from_timestamp(1_700_000_000, 0).unwrap();
        let before = created - TimeDelta::seconds(5);
        let key = AccessKey {
            name: KeyName::Slot(Slot::One),
            status: KeyStatus::Active,
            created,
            last_use: LastUse::Never,
        };
        assert_eq!(key.age(before), TimeDelta::zero());
        assert_eq!(key.idle(before), TimeDelta::zero());
        assert!((days(key.age(created + TimeDelta::hours(36))) - 1.5).abs() < 1e-12);
    }

    #[test]
    fn an_unknown_last_use_counts_as_used_now() {
        let created = DateTime::from_timestamp(1_700_000_000, 0).unwrap();
        let key = AccessKey {
            name: KeyName::Slot(Slot::Two),
            status: KeyStatus::Active,
            created,
            last_use: LastUse::Unknown,
        };
        assert_eq!(key.idle(created + TimeDelta::days(1000)), TimeDelta::zero());
    }
}
