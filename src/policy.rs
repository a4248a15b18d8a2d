//! When a key is overdue: the rule of the control, under each reading of "90 days".

use chrono::{DateTime, NaiveTime, TimeDelta, Utc};

use crate::{
    inventory::{Reading, User},
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
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
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

impl Default for Policy {
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

impl Policy {
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

    /// The control's verdict on one key of `user`.
    ///
    /// The keys of a user who wasn't read are those last known. One that was active and is overdue
    /// by now is an alarm, for nothing makes a key younger; nothing else is known of them.
    pub fn verdict(&self, user: &User, key: &AccessKey, now: DateTime<Utc>) -> Verdict {
        let was_read = user.reading == Reading::Complete;
        match key.status {
            _ if user.is_exempt(now) => Verdict::Skip,
            KeyStatus::Active if self.is_overdue(key, now) => Verdict::Alarm,
            KeyStatus::Active if was_read => Verdict::Ok,
            KeyStatus::Inactive | KeyStatus::Expired if was_read => Verdict::Skip,
            _ => Verdict::Error,
        }
    }

    /// Whether the user obeys the rule: `None` where that can't be told, because the user could not
    /// be read, or doesn't apply, because there is no key. Exemptions don't count here: they mute
    /// alerts, they don't make anybody compliant.
    pub fn is_compliant(&self, user: &User, now: DateTime<Utc>) -> Option<bool> {
        if user.keys.iter().any(|key| self.is_overdue(key, now)) {
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
