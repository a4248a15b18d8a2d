//! When a key is overdue: the rule of the control, under each reading of "90 days", and the rules
//! that give some users another max age or a dispensation.

mod rules;

use std::{collections::BTreeSet, sync::Arc};

use chrono::{DateTime, NaiveTime, TimeDelta, Utc};

use self::rules::Fit;
pub use self::rules::{ExemptionRule, Matcher, Override, TagMatcher};
use crate::{
    inventory::{Account, Inventory, Reading, User},
    key::{AccessKey, KeyStatus, LastUse},
};

/// How "older than N days" is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Boundary {
    /// Overdue once the age exceeds N × 86 400 s: the wording of CIS AWS Foundations v6 and v7,
    /// "less than or equal to 90 days ago".
    #[default]
    Exact,
    /// Overdue from the UTC midnight at which `create_date <= current_date - N days` turns true:
    /// what the Powerpipe query `iam_user_access_key_age_90` says.
    UtcMidnight,
    /// Overdue once the age in whole days exceeds N: what Prowler's check says.
    WholeDays,
}

impl Boundary {
    /// Every reading, with its name as a setting.
    pub const ALL: [(&'static str, Self); 3] = [
        ("exact", Self::Exact),
        ("utc-midnight", Self::UtcMidnight),
        ("whole-days", Self::WholeDays),
    ];
}

/// The thresholds that judge a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Thresholds {
    /// The age up to which an active key is in order.
    pub max_age: TimeDelta,
    /// How that age is read.
    pub boundary: Boundary,
    /// How long an old key must have been idle before it is retired.
    pub settle: TimeDelta,
    /// How long a key must have been idle to be dormant (CIS 1.12).
    pub unused: TimeDelta,
    /// How long before the due instant a rotation should begin.
    pub warn: TimeDelta,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self {
            max_age: TimeDelta::days(90),
            boundary: Boundary::Exact,
            settle: TimeDelta::days(7),
            unused: TimeDelta::days(45),
            warn: TimeDelta::days(14),
        }
    }
}

/// The thresholds, and who has which of their own.
///
/// Whether a user has is worked out by [`Policy::apply`] and kept in the user, so that nothing has to
/// look at the rules again: whoever judges goes by [`Policy::of`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Policy {
    /// What holds where no rule says otherwise.
    pub thresholds: Thresholds,
    /// Max ages for some users; the first that matches holds.
    pub overrides: Vec<Override>,
    /// Dispensations for some users. Of several that match, the one that lasts longest holds, so that
    /// none ends because of another.
    pub exemptions: Vec<ExemptionRule>,
}

/// What the control says of a key, in the statuses of `iam_user_access_key_age_90`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// Active and young enough.
    Ok,
    /// Active and overdue.
    Alarm,
    /// Not active, or its user is exempt.
    Skip,
    /// Can't be judged.
    Error,
}

impl Thresholds {
    /// The instant at which a key created at `created` turns overdue; chrono's last instant if that
    /// lies beyond what it can hold.
    pub fn due_instant(&self, created: DateTime<Utc>) -> DateTime<Utc> {
        let due = match self.boundary {
            Boundary::Exact => created.checked_add_signed(self.max_age),
            Boundary::UtcMidnight => midnight_at_or_after(created)
                .and_then(|midnight| midnight.checked_add_signed(self.max_age)),
            Boundary::WholeDays => created
                .checked_add_signed(self.max_age)
                .and_then(|end| end.checked_add_signed(TimeDelta::days(1))),
        };
        due.unwrap_or(DateTime::<Utc>::MAX_UTC)
    }

    /// Whether an active key created at `created` is older than allowed.
    pub fn is_past_due(&self, created: DateTime<Utc>, now: DateTime<Utc>) -> bool {
        let due = self.due_instant(created);
        match self.boundary {
            // "Less than or equal to N days": the due instant itself is still in order.
            Boundary::Exact => now > due,
            Boundary::UtcMidnight | Boundary::WholeDays => now >= due,
        }
    }

    /// Whether the key is active and older than allowed.
    pub fn is_overdue(&self, key: &AccessKey, now: DateTime<Utc>) -> bool {
        key.is_active() && self.is_past_due(key.created, now)
    }

    /// Whether the key is active, and overdue or within the warn time of it.
    pub fn is_due(&self, key: &AccessKey, now: DateTime<Utc>) -> bool {
        key.is_active() && self.due_instant(key.created) - now <= self.warn
    }

    /// Whether the key has been idle for the unused time. A key whose last use is unknown never is.
    pub fn is_dormant(&self, key: &AccessKey, now: DateTime<Utc>) -> bool {
        key.idle(now) >= self.unused && key.last_use != LastUse::Unknown
    }

    /// Whether the key has been idle for the settle time. A key whose last use is unknown never is.
    pub fn is_settled(&self, key: &AccessKey, now: DateTime<Utc>) -> bool {
        key.idle(now) >= self.settle && key.last_use != LastUse::Unknown
    }
}

impl From<Thresholds> for Policy {
    fn from(thresholds: Thresholds) -> Self {
        Self {
            thresholds,
            ..Self::default()
        }
    }
}

impl Policy {
    /// The thresholds for the keys of `user`, to whom the rules were applied.
    pub fn of(&self, user: &User) -> Thresholds {
        let own = user.max_age.map(TimeDelta::from);
        self.with_max_age(own.unwrap_or(self.thresholds.max_age))
    }

    /// The thresholds for a user of whom nothing is known that a rule could go by.
    pub fn strictest(&self) -> Thresholds {
        self.with_max_age(self.smallest_max_age())
    }

    fn with_max_age(&self, max_age: TimeDelta) -> Thresholds {
        Thresholds {
            max_age,
            ..self.thresholds
        }
    }

    /// The smallest max age that any user can have.
    pub fn smallest_max_age(&self) -> TimeDelta {
        let ages = self.overrides.iter().map(|rule| rule.max_age);
        ages.fold(self.thresholds.max_age, TimeDelta::min)
    }

    /// The keys of the tags that the rules look at.
    pub fn tag_keys(&self) -> BTreeSet<Arc<str>> {
        let overrides = self.overrides.iter().map(|rule| &rule.matcher);
        let exemptions = self.exemptions.iter().map(|rule| &rule.matcher);
        overrides
            .chain(exemptions)
            .flat_map(|matcher| &matcher.tags)
            .map(|tag| Arc::clone(&tag.key))
            .collect()
    }

    /// Notes in `user` of `account` what the rules give, in place of what they gave before.
    ///
    /// Where a rule hangs on something that isn't known, such as tags that could not be read, it
    /// exempts nobody, and the max age is the smallest that the user could have.
    pub fn apply(&self, account: &Account, user: &mut User) {
        let mut max_age = TimeDelta::MAX;
        let mut is_decided = false;
        for rule in &self.overrides {
            let fit = rule.matcher.fit(account, user);
            if fit != Fit::No {
                max_age = max_age.min(rule.max_age);
            }
            if fit == Fit::Yes {
                is_decided = true;
                break;
            }
        }
        if !is_decided {
            max_age = max_age.min(self.thresholds.max_age);
        }
        let exemption = self
            .exemptions
            .iter()
            .filter(|rule| rule.matcher.fit(account, user) == Fit::Yes)
            // The first of equals.
            .rev()
            .max_by_key(|rule| rule.end());
        user.max_age = (max_age != self.thresholds.max_age).then(|| max_age.into());
        user.exemption = exemption.map(|rule| Arc::clone(&rule.exemption));
    }

    /// [`Policy::apply`] to every user.
    pub fn apply_to_all(&self, inventory: &mut Inventory) {
        for user in &mut inventory.users {
            self.apply(&inventory.account, user);
        }
    }

    /// The control's verdict on one key of `user`.
    ///
    /// The keys of a user who wasn't read are those last known. One that was active and is overdue
    /// by now is an alarm, for nothing makes a key younger; nothing else is known of them.
    pub fn verdict(&self, user: &User, key: &AccessKey, now: DateTime<Utc>) -> Verdict {
        let was_read = user.reading == Reading::Complete;
        match key.status {
            _ if user.is_exempt(now) => Verdict::Skip,
            KeyStatus::Active if self.of(user).is_overdue(key, now) => Verdict::Alarm,
            KeyStatus::Active if was_read => Verdict::Ok,
            KeyStatus::Inactive | KeyStatus::Expired if was_read => Verdict::Skip,
            _ => Verdict::Error,
        }
    }

    /// Whether the user obeys the rule: `None` where that can't be told, because the user could not
    /// be read, or doesn't apply, because there is no key. Exemptions don't count here: they mute
    /// alerts, they don't make anybody compliant.
    pub fn is_compliant(&self, user: &User, now: DateTime<Utc>) -> Option<bool> {
        let thresholds = self.of(user);
        if user.keys.iter().any(|key| thresholds.is_overdue(key, now)) {
            Some(false)
        } else if user.is_read() && !user.keys.is_empty() {
            Some(true)
        } else {
            None
        }
    }
}

/// The first UTC midnight that is not before `instant`.
fn midnight_at_or_after(instant: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let midnight = instant.date_naive().and_time(NaiveTime::MIN).and_utc();
    if midnight == instant {
        Some(midnight)
    } else {
        midnight.checked_add_signed(TimeDelta::days(1))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::{
        inventory::Exemption,
        key::{KeyName, Slot},
        reason::Reason,
    };

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn policy(boundary: Boundary) -> Thresholds {
        Thresholds {
            boundary,
            ..Thresholds::default()
        }
    }

    fn key(status: KeyStatus, created: DateTime<Utc>) -> AccessKey {
        AccessKey {
            name: KeyName::Slot(Slot::One),
            status,
            created,
            last_use: LastUse::Never,
        }
    }

    /// Whether a key is past due at `now`, under exact, utc-midnight and whole-days.
    fn past_due(created: &str, now: DateTime<Utc>) -> [bool; 3] {
        Boundary::ALL.map(|(_, boundary)| policy(boundary).is_past_due(at(created), now))
    }

    #[test]
    fn each_boundary_turns_where_its_benchmark_says() {
        const SECOND: TimeDelta = TimeDelta::seconds(1);
        let (days, hours) = (TimeDelta::days, TimeDelta::hours);
        let noon = "2024-03-10T12:00:00Z";
        let midnight = "2024-03-10T00:00:00Z";
        let late = "2024-03-10T23:59:59Z";
        for (created, age, expected) in [
            (noon, days(90) - SECOND, [false, false, false]),
            (noon, days(90), [false, false, false]),
            (noon, days(90) + SECOND, [true, false, false]),
            (noon, days(90) + hours(12) - SECOND, [true, false, false]),
            (noon, days(90) + hours(12), [true, true, false]),
            (noon, days(90) + hours(13), [true, true, false]),
            (noon, days(91) - SECOND, [true, true, false]),
            (noon, days(91), [true, true, true]),
            (midnight, days(90) - SECOND, [false, false, false]),
            // The one instant at which the SQL of utc-midnight is stricter than the words of CIS.
            (midnight, days(90), [false, true, false]),
            (midnight, days(90) + SECOND, [true, true, false]),
            (midnight, days(90) + hours(13), [true, true, false]),
            (midnight, days(91), [true, true, true]),
            (late, days(90), [false, false, false]),
            (late, days(90) + SECOND, [true, true, false]),
            (late, days(90) + hours(13), [true, true, false]),
            (late, days(91), [true, true, true]),
        ] {
            let now = at(created) + age;
            assert_eq!(past_due(created, now), expected, "{created} + {age}");
        }
    }

    #[test]
    fn a_leap_day_is_a_day_like_any_other() {
        for (created, now, expected) in [
            // 2024 has a 29th of February between the two, 2023 hasn't.
            (
                "2024-01-15T06:00:00Z",
                "2024-04-14T06:00:00Z",
                [false, false, false],
            ),
            (
                "2024-01-15T06:00:00Z",
                "2024-04-14T06:00:01Z",
                [true, false, false],
            ),
            (
                "2023-01-15T06:00:00Z",
                "2023-04-15T06:00:00Z",
                [false, false, false],
            ),
            (
                "2023-01-15T06:00:00Z",
                "2023-04-15T06:00:01Z",
                [true, false, false],
            ),
            (
                "2024-02-29T06:00:00Z",
                "2024-05-29T06:00:01Z",
                [true, false, false],
            ),
            (
                "2024-02-29T06:00:00Z",
                "2024-05-30T00:00:00Z",
                [true, true, false],
            ),
            (
                "2024-02-29T06:00:00Z",
                "2024-05-30T06:00:00Z",
                [true, true, true],
            ),
        ] {
            assert_eq!(past_due(created, at(now)), expected, "{created} {now}");
        }
    }

    #[test]
    fn a_fraction_of_a_second_counts() {
        let created = "2024-03-10T12:00:00.250Z";
        let due = at(created) + TimeDelta::days(90);
        let nanosecond = TimeDelta::nanoseconds(1);
        assert_eq!(past_due(created, due), [false, false, false]);
        assert_eq!(past_due(created, due + nanosecond), [true, false, false]);
        let just_after_midnight = "2024-03-10T00:00:00.000000001Z";
        let due = at("2024-06-09T00:00:00Z");
        assert_eq!(
            past_due(just_after_midnight, due - nanosecond),
            [true, false, false]
        );
        assert_eq!(past_due(just_after_midnight, due), [true, true, false]);
    }

    #[test]
    fn a_due_instant_beyond_the_calendar_is_its_end() {
        for (_, boundary) in Boundary::ALL {
            let policy = policy(boundary);
            assert_eq!(
                policy.due_instant(DateTime::<Utc>::MAX_UTC),
                DateTime::<Utc>::MAX_UTC
            );
            assert!(!policy.is_past_due(DateTime::<Utc>::MAX_UTC, at("2024-01-01T00:00:00Z")));
        }
    }

    #[test]
    fn only_an_active_key_is_overdue_or_due() {
        let created = at("2024-01-01T00:00:00Z");
        let now = created + TimeDelta::days(400);
        for (status, expected) in [
            (KeyStatus::Active, true),
            (KeyStatus::Inactive, false),
            (KeyStatus::Expired, false),
            (KeyStatus::from("Suspended"), false),
        ] {
            let key = key(status, created);
            assert_eq!(Thresholds::default().is_overdue(&key, now), expected);
            assert_eq!(Thresholds::default().is_due(&key, now), expected);
        }
    }

    #[test]
    fn a_key_is_due_from_the_warn_time_on() {
        let policy = Thresholds::default();
        let key = key(KeyStatus::Active, at("2024-01-01T00:00:00Z"));
        let from = key.created + TimeDelta::days(76);
        assert!(!policy.is_due(&key, from - TimeDelta::seconds(1)));
        assert!(policy.is_due(&key, from));
    }

    #[test]
    fn a_key_is_dormant_and_settled_at_the_very_time_and_never_while_its_use_is_unknown() {
        let policy = Thresholds::default();
        let mut key = key(KeyStatus::Active, at("2024-01-01T00:00:00Z"));
        let second = TimeDelta::seconds(1);
        let dormant = key.created + TimeDelta::days(45);
        let settled = key.created + TimeDelta::days(7);
        assert!(!policy.is_dormant(&key, dormant - second) && policy.is_dormant(&key, dormant));
        assert!(!policy.is_settled(&key, settled - second) && policy.is_settled(&key, settled));
        key.last_use = LastUse::Unknown;
        let impatient = Thresholds {
            settle: TimeDelta::zero(),
            unused: TimeDelta::zero(),
            ..policy
        };
        assert!(!impatient.is_dormant(&key, dormant) && !impatient.is_settled(&key, dormant));
    }

    #[test]
    fn the_verdict_says_what_the_control_says() {
        let policy = Policy::default();
        let created = at("2024-01-01T00:00:00Z");
        let (young, old) = (created + TimeDelta::days(1), created + TimeDelta::days(91));
        let other = KeyStatus::from("Suspended");
        for (status, read, unread) in [
            (
                KeyStatus::Active,
                [Verdict::Ok, Verdict::Alarm],
                [Verdict::Error, Verdict::Alarm],
            ),
            (KeyStatus::Inactive, [Verdict::Skip; 2], [Verdict::Error; 2]),
            (KeyStatus::Expired, [Verdict::Skip; 2], [Verdict::Error; 2]),
            (other, [Verdict::Error; 2], [Verdict::Error; 2]),
        ] {
            let key = key(status, created);
            let keys = vec![key.clone()];
            let mut user = User::read("a", keys.clone());
            let of = |user: &User| [young, old].map(|now| policy.verdict(user, &key, now));
            assert_eq!(of(&user), read, "{key:?}");
            assert_eq!(
                of(&User::unread("a", keys, Reason::Timeout)),
                unread,
                "{key:?}"
            );
            user.exemption = Some(
                Exemption {
                    reason: Arc::from("break-glass"),
                    until: None,
                }
                .into(),
            );
            assert_eq!(of(&user), [Verdict::Skip; 2], "{key:?}");
        }
    }

    #[test]
    fn a_user_is_compliant_only_if_read_and_without_an_overdue_key() {
        let policy = Policy::default();
        let now = at("2024-06-30T00:00:00Z");
        let aged = |status, days| key(status, now - TimeDelta::days(days));
        let old = || vec![aged(KeyStatus::Active, 91)];
        let fine = || vec![aged(KeyStatus::Active, 1)];
        let exempt = User {
            exemption: Some(
                Exemption {
                    reason: Arc::from("break-glass"),
                    until: None,
                }
                .into(),
            ),
            ..User::read("a", old())
        };
        for (user, expected) in [
            (User::read("a", old()), Some(false)),
            (exempt, Some(false)),
            (User::read("a", fine()), Some(true)),
            (
                User::read("a", vec![aged(KeyStatus::Inactive, 400)]),
                Some(true),
            ),
            (
                User::read("a", vec![aged(KeyStatus::from("Suspended"), 1)]),
                None,
            ),
            (User::read("a", Vec::new()), None),
            (User::unread("a", old(), Reason::Timeout), Some(false)),
            (User::unread("a", fine(), Reason::Timeout), None),
            (User::unread("a", Vec::new(), Reason::Timeout), None),
        ] {
            assert_eq!(policy.is_compliant(&user, now), expected, "{user:?}");
        }
    }

    #[test]
    fn an_exemption_ends_at_its_instant() {
        let until = at("2024-06-30T00:00:00Z");
        let mut user = User::read("a", Vec::new());
        assert!(!user.is_exempt(until));
        user.exemption = Some(
            Exemption {
                reason: Arc::from("migration"),
                until: Some(until),
            }
            .into(),
        );
        assert!(user.is_exempt(until - TimeDelta::nanoseconds(1)));
        assert!(!user.is_exempt(until));
    }

    /// Instants that are often at midnight, at a whole second, and close to each other.
    fn instant() -> impl Strategy<Value = DateTime<Utc>> {
        let second = prop_oneof![Just(0), Just(86_399), 0_i64..86_400];
        let nanos = prop_oneof![Just(0), Just(1), Just(999_999_999), 0_u32..1_000_000_000];
        (0_i64..20_000, second, nanos).prop_map(|(day, second, nanos)| {
            DateTime::from_timestamp(day * 86_400 + second, nanos).unwrap()
        })
    }

    /// A creation, and a time at about the age where the boundaries lie.
    fn creation_and_now() -> impl Strategy<Value = (DateTime<Utc>, DateTime<Utc>)> {
        let near = prop_oneof![
            Just(90_i64 * 86_400),
            Just(91 * 86_400),
            89_i64 * 86_400..92 * 86_400
        ];
        let nanos = prop_oneof![
            Just(0),
            Just(-1),
            Just(1),
            -1_000_000_000_i64..1_000_000_000
        ];
        (instant(), near, nanos).prop_map(|(created, seconds, nanos)| {
            (
                created,
                created + TimeDelta::seconds(seconds) + TimeDelta::nanoseconds(nanos),
            )
        })
    }

    proptest! {
        #[test]
        fn exact_is_never_later_save_for_the_instant_of_a_key_created_at_midnight(
            (created, now) in creation_and_now()
        ) {
            let [exact, midnight, whole] =
                Boundary::ALL.map(|(_, boundary)| policy(boundary).is_past_due(created, now));
            let at_midnight = created.time() == NaiveTime::MIN;
            let the_one_instant = at_midnight && now == created + TimeDelta::days(90);
            prop_assert_eq!(midnight && !exact, the_one_instant);
            prop_assert!(exact || !whole);
            prop_assert!(midnight || !whole);
        }

        #[test]
        fn the_due_instant_parts_in_order_from_overdue(created in instant()) {
            let nanosecond = TimeDelta::nanoseconds(1);
            for (_, boundary) in Boundary::ALL {
                let policy = policy(boundary);
                let due = policy.due_instant(created);
                prop_assert!(!policy.is_past_due(created, due - nanosecond));
                prop_assert_eq!(policy.is_past_due(created, due), boundary != Boundary::Exact);
                prop_assert!(policy.is_past_due(created, due + nanosecond));
            }
        }

        #[test]
        fn utc_midnight_is_what_the_sql_says((created, now) in creation_and_now()) {
            let current_date = now.date_naive().and_time(NaiveTime::MIN).and_utc();
            prop_assert_eq!(
                policy(Boundary::UtcMidnight).is_past_due(created, now),
                created <= current_date - TimeDelta::days(90)
            );
        }

        #[test]
        fn whole_days_is_the_floor_of_the_age((created, now) in creation_and_now()) {
            prop_assert_eq!(
                policy(Boundary::WholeDays).is_past_due(created, now),
                (now - created).num_days() > 90
            );
        }

        #[test]
        fn once_overdue_always_overdue(
            (created, now) in creation_and_now(),
            later in 0_i64..10_000_000_000_000_000,
        ) {
            for (_, boundary) in Boundary::ALL {
                let policy = policy(boundary);
                let later = now + TimeDelta::nanoseconds(later);
                prop_assert!(!policy.is_past_due(created, now) || policy.is_past_due(created, later));
            }
        }
    }
}
