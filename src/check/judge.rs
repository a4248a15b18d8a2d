//! The control's rows: one for each key, and one for each thing that could not be read.
//!
//! Resource, status and reason are those of the query `iam_user_access_key_age_90` of Turbot's mod
//! `aws_compliance`. A user without keys gives no row, as there; a user or account that could not be
//! read gives an error row, so that nothing unread looks like nothing found.

use std::{borrow::Cow, sync::Arc};

use chrono::{DateTime, NaiveTime, TimeDelta, Utc};

use super::{
    details::{Details, dimensions, timestamp},
    rows::{Key, Row, Status, Subject},
};
use crate::{
    inventory::{Inventory, Listing, Reading, User},
    key::{AccessKey, KeyName, KeyStatus, LastUse, days},
    policy::Policy,
    reason::Reason,
    rotation,
    snapshot::{AccountState, KeyIdDisplay, Snapshot},
};

/// The rows of all accounts as of `now`; with `details` their dimensions tell more than the
/// control's.
pub(super) fn rows(snapshot: &Snapshot, now: DateTime<Utc>, details: bool) -> Vec<Row> {
    let mut rows = Vec::new();
    for account in &snapshot.accounts {
        let view = View {
            policy: &snapshot.policy,
            key_ids: snapshot.key_ids,
            now,
            details,
            account,
        };
        view.account(&mut rows);
    }
    if let Some(reason) = snapshot.unidentified {
        rows.push(unidentified(reason, details));
    }
    rows
}

/// The row of an account whose id could not be learned.
fn unidentified(reason: Reason, details: bool) -> Row {
    Row {
        resource: "unknown account".into(),
        status: Status::Error,
        reason: format!("The account could not be read ({reason})."),
        dimensions: dimensions(String::new(), details, Details::default),
        subject: Subject::default(),
    }
}

/// One account under one clock.
struct View<'a> {
    policy: &'a Policy,
    key_ids: KeyIdDisplay,
    now: DateTime<Utc>,
    details: bool,
    account: &'a AccountState,
}

impl View<'_> {
    fn account(&self, rows: &mut Vec<Row>) {
        let id = self.account.id;
        let Some(inventory) = &self.account.inventory else {
            let why = reasons(&self.account.failures);
            rows.push(self.account_row(None, format!("{id} could not be read ({why}).")));
            return;
        };
        if let Listing::Truncated(reason) = inventory.listing {
            let text = format!(
                "The listing of the users of {id} broke off ({reason}), so users may be missing."
            );
            rows.push(self.account_row(Some(inventory), text));
        } else if inventory.users.iter().all(User::is_read) && !inventory.is_complete() {
            let why = reasons(&inventory.reasons());
            let text = format!("{id} could not be read completely ({why}).");
            rows.push(self.account_row(Some(inventory), text));
        }
        for user in &inventory.users {
            self.user(inventory, user, rows);
        }
    }

    fn account_row(&self, inventory: Option<&Inventory>, reason: String) -> Row {
        let partition = inventory.map(|inventory| Arc::clone(&inventory.account.partition));
        let id = self.account.id;
        Row {
            resource: partition.as_ref().map_or_else(
                || id.to_string(),
                |partition| format!("arn:{partition}:::{id}"),
            ),
            status: Status::Error,
            reason,
            dimensions: dimensions(id.to_string(), self.details, Details::default),
            subject: Subject {
                account: Some(id),
                account_name: inventory.and_then(|inventory| inventory.account.name.clone()),
                partition,
                ..Subject::default()
            },
        }
    }

    fn user(&self, inventory: &Inventory, user: &User, rows: &mut Vec<Row>) {
        let first = rows.len();
        let names: Vec<Cow<'_, str>> = match self.key_ids {
            KeyIdDisplay::Full => user
                .keys
                .iter()
                .map(|key| key.name.as_str().into())
                .collect(),
            other => other.names(user).into_iter().map(Cow::Owned).collect(),
        };
        for (key, name) in user.keys.iter().zip(names) {
            rows.push(self.key_row(inventory, user, key, &name));
        }
        // The keys known of a user who wasn't read may not be all.
        if let Reading::Unread(reason) = user.reading
            && rows[first..].iter().all(|row| row.status != Status::Error)
        {
            rows.push(self.unread_row(inventory, user, reason));
        }
    }

    fn subject(&self, inventory: &Inventory, user: &User) -> Subject {
        Subject {
            account: Some(self.account.id),
            account_name: inventory.account.name.clone(),
            partition: Some(Arc::clone(&inventory.account.partition)),
            user: Some(Arc::clone(&user.name)),
            key: None,
        }
    }

    fn unread_row(&self, inventory: &Inventory, user: &User, reason: Reason) -> Row {
        Row {
            resource: user_arn(inventory, user),
            status: Status::Error,
            reason: format!("{} could not be read ({reason}).", user.name),
            dimensions: dimensions(self.account.id.to_string(), self.details, || Details {
                user_name: user.name.to_string(),
                account_name: name(inventory),
                ..Details::default()
            }),
            subject: self.subject(inventory, user),
        }
    }

    fn key_row(&self, inventory: &Inventory, user: &User, key: &AccessKey, shown: &str) -> Row {
        let due = key
            .is_active()
            .then(|| self.policy.of(user).due_instant(key.created));
        let status = self.policy.verdict(user, key, self.now).into();
        Row {
            resource: format!("{}/accesskey/{shown}", user_arn(inventory, user)),
            status,
            reason: self.reason(user, key, shown, status),
            dimensions: dimensions(self.account.id.to_string(), self.details, || {
                self.key_details(inventory, user, key, shown, due)
            }),
            subject: Subject {
                key: Some(Key {
                    name: shown.to_owned(),
                    is_id: self.key_ids == KeyIdDisplay::Full && matches!(key.name, KeyName::Id(_)),
                    status: key.status.clone(),
                    created: key.created,
                    due,
                }),
                ..self.subject(inventory, user)
            },
        }
    }

    /// The query's sentence, or one of its kind where the query has none.
    fn reason(&self, user: &User, key: &AccessKey, shown: &str, status: Status) -> String {
        let name = &user.name;
        let created = || {
            let date = key.created.format("%d-%b-%Y");
            let days = key.age(self.now).num_days();
            format!("created {date} ({days} days)")
        };
        match (&user.reading, &user.exemption, &key.status) {
            (Reading::Unread(why), _, _) if status == Status::Error => format!(
                "{name} {shown} could not be read ({why}); as last known it is {} and was {}.",
                key.status.as_str(),
                created()
            ),
            (_, Some(exemption), KeyStatus::Active) if status == Status::Skip => {
                let why = exemption.reason.trim_end_matches('.');
                match exemption.until {
                    Some(until) => format!("{name} {shown} is exempt {}: {why}.", up_to(until)),
                    None => format!("{name} {shown} is exempt: {why}."),
                }
            }
            (_, _, KeyStatus::Active) => format!("{name} {shown} {}.", created()),
            (_, _, other) => format!("{name} {shown} status is {}.", other.as_str()),
        }
    }

    fn key_details(
        &self,
        inventory: &Inventory,
        user: &User,
        key: &AccessKey,
        shown: &str,
        due: Option<DateTime<Utc>>,
    ) -> Details {
        let (last_used, service, region) = match &key.last_use {
            LastUse::At(last) => (
                timestamp(last.time),
                last.service().to_string(),
                last.region().to_string(),
            ),
            LastUse::Never => ("never".into(), String::new(), String::new()),
            LastUse::Unknown => ("unknown".into(), String::new(), String::new()),
        };
        Details {
            account_name: name(inventory),
            user_name: user.name.to_string(),
            access_key_id: shown.to_owned(),
            created: timestamp(key.created),
            // Rounded down: a key isn't shown as older than it is.
            age_days: format!("{:.2}", (days(key.age(self.now)) * 100.0).floor() / 100.0),
            due: due.map(timestamp).unwrap_or_default(),
            last_used,
            last_used_service: service,
            last_used_region: region,
            rotation_step: rotation::step(
                user,
                self.policy,
                self.now,
                inventory.seen(user, self.now),
            )
            .name()
            .into(),
        }
    }
}

/// The ARN as the control builds it: without the user's path, which not every source tells.
fn user_arn(inventory: &Inventory, user: &User) -> String {
    let account = &inventory.account;
    format!(
        "arn:{}:iam::{}:user/{}",
        account.partition, account.id, user.name
    )
}

/// Up to when, in days: one that ends at a midnight holds on the whole of the day before.
fn up_to(until: DateTime<Utc>) -> String {
    if until.time() == NaiveTime::MIN {
        let last_day = until - TimeDelta::nanoseconds(1);
        format!("through {}", last_day.format("%d-%b-%Y"))
    } else {
        format!("until {}", until.format("%d-%b-%Y"))
    }
}

fn name(inventory: &Inventory) -> String {
    inventory.account.name.as_deref().unwrap_or_default().into()
}

fn reasons(failures: &[Reason]) -> String {
    failures
        .iter()
        .map(|reason| reason.as_str())
        .collect::<Vec<_>>()
        .join(", ")
}
