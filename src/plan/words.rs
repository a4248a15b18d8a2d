//! Keys and spans of time in words.

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};

use crate::visible::visible;
use crate::{
    key::{AccessKey, LastUse},
    policy::Thresholds,
};

/// The name that a key is shown by, and the key.
#[derive(Debug, Clone, Copy)]
pub(super) struct Named<'a> {
    pub(super) name: &'a str,
    pub(super) key: &'a AccessKey,
}

impl Named<'_> {
    /// "key AKIA… is 131 days old (due 41 days ago), last used 2 hours ago in s3/us-east-1"
    pub(super) fn described(&self, thresholds: &Thresholds, now: DateTime<Utc>) -> String {
        let Self { name, key } = self;
        let name = visible(name);
        let age = span(key.age(now));
        let used = last_use(key, now);
        if key.is_active() {
            let due = due(thresholds.due_instant(key.created), now);
            format!("key {name} is {age} old ({due}), {used}")
        } else {
            let status = visible(key.status.as_str());
            format!("key {name} is {status} and {age} old, {used}")
        }
    }
}

/// "last used 2 hours ago in s3/us-east-1"
pub(crate) fn last_use(key: &AccessKey, now: DateTime<Utc>) -> String {
    match &key.last_use {
        LastUse::Never => "never used".to_owned(),
        LastUse::Unknown => "its last use unknown".to_owned(),
        LastUse::At(used) => {
            let ago = span(now - used.time);
            match (used.service(), used.region()) {
                ("N/A" | "", _) => format!("last used {ago} ago"),
                (service, "N/A" | "") => format!("last used {ago} ago in {}", visible(service)),
                (service, region) => format!(
                    "last used {ago} ago in {}/{}",
                    visible(service),
                    visible(region)
                ),
            }
        }
    }
}

/// "due 41 days ago", "due in 3 days"
fn due(due: DateTime<Utc>, now: DateTime<Utc>) -> String {
    let late = now - due;
    if late < TimeDelta::zero() {
        format!("due in {}", span(-late))
    } else {
        format!("due {} ago", span(late))
    }
}

/// A span in its largest whole unit, rounded down; less than nothing counts as nothing.
pub(crate) fn span(span: TimeDelta) -> String {
    let units = [
        (span.num_days(), "day"),
        (span.num_hours(), "hour"),
        (span.num_minutes(), "minute"),
    ];
    match units.into_iter().find(|(count, _)| *count > 0) {
        Some((1, unit)) => format!("1 {unit}"),
        Some((count, unit)) => format!("{count} {unit}s"),
        None => "less than a minute".to_owned(),
    }
}

/// An instant as IAM writes it.
pub(crate) fn instant(instant: DateTime<Utc>) -> String {
    instant.to_rfc3339_opts(SecondsFormat::Secs, true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::{KeyName, KeyStatus, UsedAt};

    fn now() -> DateTime<Utc> {
        "2024-06-30T12:00:00Z".parse().unwrap()
    }

    #[test]
    fn a_span_is_said_in_its_largest_unit() {
        for (seconds, words) in [
            (-5, "less than a minute"),
            (0, "less than a minute"),
            (59, "less than a minute"),
            (60, "1 minute"),
            (7_199, "1 hour"),
            (7_200, "2 hours"),
            (86_399, "23 hours"),
            (86_400, "1 day"),
            (131 * 86_400 + 5, "131 days"),
        ] {
            assert_eq!(span(TimeDelta::seconds(seconds)), words);
        }
    }

    #[test]
    fn a_key_is_described_as_a_person_would() {
        let used = |service: &str, region: &str| {
            LastUse::At(UsedAt::new(now() - TimeDelta::hours(2), service, region))
        };
        let described = |status: &str, age, last_use| {
            let key = AccessKey {
                name: KeyName::Id("AKIA1".into()),
                status: KeyStatus::from(status),
                created: now() - TimeDelta::days(age),
                last_use,
            };
            let named = Named {
                name: "AKIA1",
                key: &key,
            };
            named.described(&Thresholds::default(), now())
        };
        assert_eq!(
            described("Active", 131, used("s3", "us-east-1")),
            "key AKIA1 is 131 days old (due 41 days ago), last used 2 hours ago in s3/us-east-1"
        );
        assert_eq!(
            described("Active", 87, LastUse::Never),
            "key AKIA1 is 87 days old (due in 3 days), never used"
        );
        assert_eq!(
            described("Inactive", 1, used("route53", "N/A")),
            "key AKIA1 is Inactive and 1 day old, last used 2 hours ago in route53"
        );
        assert_eq!(
            described("Expired", 2, used("N/A", "N/A")),
            "key AKIA1 is Expired and 2 days old, last used 2 hours ago"
        );
        assert_eq!(
            described("Inactive", 2, LastUse::Unknown),
            "key AKIA1 is Inactive and 2 days old, its last use unknown"
        );
    }
}
