//! The control's rows: one for each key, and one for each thing that could not be read.
//!
//! Resource, status and reason are those of the query `iam_user_access_key_age_90` of Turbot's mod
//! `aws_compliance`. A user without keys gives no row, as there; a user or account that could not be
//! read gives an error row, so that nothing unread looks like nothing found.

use std::{borrow::Cow, sync::Arc};

use chrono::{DateTime, SecondsFormat, Utc};

use crate::{
    inventory::{Inventory, Listing, Reading, User},
    key::{AccessKey, AccountId, KeyName, KeyStatus, LastUse, days},
    policy::{Policy, Verdict},
    reason::Reason,
    rotation,
    snapshot::{AccountState, KeyIdDisplay, Snapshot},
};

/// What the control says of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// In order.
    Ok,
    /// Doesn't apply.
    Skip,
    /// For information. This control has no such rows; readers of its results know the status.
    Info,
    /// Against the rule.
    Alarm,
    /// Can't be told.
    Error,
}

impl Status {
    /// Every status, with its name, in the order of a summary.
    pub const ALL: [(&'static str, Self); 5] = [
        ("ok", Self::Ok),
        ("skip", Self::Skip),
        ("info", Self::Info),
        ("alarm", Self::Alarm),
        ("error", Self::Error),
    ];

    /// The status as it stands in results.
    pub fn as_str(self) -> &'static str {
        Self::ALL[self as usize].0
    }
}

impl From<Verdict> for Status {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Ok => Self::Ok,
            Verdict::Alarm => Self::Alarm,
            Verdict::Skip => Self::Skip,
            Verdict::Error => Self::Error,
        }
    }
}

/// One result of the control.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// The ARN of the key, the user or the account; the account's id where its partition isn't
    /// known.
    pub resource: String,
    /// What the control says of it.
    pub status: Status,
    /// Why, in a sentence.
    pub reason: String,
    /// Further facts, the same keys in each row.
    pub dimensions: Vec<(&'static str, String)>,
    /// Whose row it is, for formats that tell more than the control does.
    pub subject: Subject,
}

/// What a row is about.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Subject {
    /// The account; `None` if its id isn't known.
    pub account: Option<AccountId>,
    /// The name it has in its organisation, where known.
    pub account_name: Option<Arc<str>>,
    /// The account's partition; `None` if it was never read.
    pub partition: Option<Arc<str>>,
    /// The user; `None` for a row about an account.
    pub user: Option<Arc<str>>,
    /// The key; `None` for a row about a user or an account.
    pub key: Option<Key>,
}

/// The key that a row is about.
#[derive(Debug, Clone, PartialEq)]
pub struct Key {
    /// The name under which it is shown.
    pub name: String,
    /// Whether `name` is the whole access key id.
    pub is_id: bool,
    /// Its status when it was read.
    pub status: KeyStatus,
    /// Its `CreateDate`.
    pub created: DateTime<Utc>,
    /// The instant at which it turns overdue, if it is active.
    pub due: Option<DateTime<Utc>>,
}

/// The order of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sort {
    /// By account, then by user.
    Account,
    /// By user, then by account.
    User,
    /// The oldest key first; what has no age comes last.
    Age,
}

impl Sort {
    /// Every order, with its name as a setting.
    pub const ALL: [(&'static str, Self); 3] = [
        ("age", Self::Age),
        ("user", Self::User),
        ("account", Self::Account),
    ];

    /// Puts rows in order.
    pub fn sort(self, rows: &mut [Row]) {
        let created = |row: &Row| row.subject.key.as_ref().map(|key| key.created);
        rows.sort_by(|a, b| {
            let by_account = || a.subject.account.cmp(&b.subject.account);
            let by_user = || a.subject.user.cmp(&b.subject.user);
            match self {
                Self::Account => by_account().then_with(by_user),
                Self::User => by_user().then_with(by_account),
                Self::Age => {
                    let (a, b) = (created(a), created(b));
                    (a.is_none(), a)
                        .cmp(&(b.is_none(), b))
                        .then_with(by_account)
                        .then_with(by_user)
                }
            }
        });
    }
}

/// The rows of all accounts as of `now`; with `details` their dimensions tell more than the
/// control's.
pub fn rows(snapshot: &Snapshot, now: DateTime<Utc>, details: bool) -> Vec<Row> {
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
            .then(|| self.policy.due_instant(key.created));
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
                    Some(until) => format!(
                        "{name} {shown} is exempt until {}: {why}.",
                        until.format("%d-%b-%Y")
                    ),
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
                last.service.to_string(),
                last.region.to_string(),
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
            rotation_step: rotation::step(user, self.policy, self.now).name().into(),
        }
    }
}

/// What `--details` adds to a row's dimensions; empty where it doesn't apply.
#[derive(Default)]
struct Details {
    account_name: String,
    user_name: String,
    access_key_id: String,
    created: String,
    age_days: String,
    due: String,
    last_used: String,
    last_used_service: String,
    last_used_region: String,
    rotation_step: String,
}

fn dimensions(
    account: String,
    wanted: bool,
    details: impl FnOnce() -> Details,
) -> Vec<(&'static str, String)> {
    let mut dimensions = vec![("account_id", account)];
    if wanted {
        let Details {
            account_name,
            user_name,
            access_key_id,
            created,
            age_days,
            due,
            last_used,
            last_used_service,
            last_used_region,
            rotation_step,
        } = details();
        dimensions.extend([
            ("account_name", account_name),
            ("user_name", user_name),
            ("access_key_id", access_key_id),
            ("created", created),
            ("age_days", age_days),
            ("due", due),
            ("last_used", last_used),
            ("last_used_service", last_used_service),
            ("last_used_region", last_used_region),
            ("rotation_step", rotation_step),
        ]);
    }
    dimensions
}

/// The keys of each row's dimensions, in order.
pub fn dimension_keys(details: bool) -> Vec<&'static str> {
    dimensions(String::new(), details, Details::default)
        .into_iter()
        .map(|(key, _)| key)
        .collect()
}

/// The ARN as the control builds it: without the user's path, which not every source tells.
fn user_arn(inventory: &Inventory, user: &User) -> String {
    let account = &inventory.account;
    format!(
        "arn:{}:iam::{}:user/{}",
        account.partition, account.id, user.name
    )
}

fn name(inventory: &Inventory) -> String {
    inventory.account.name.as_deref().unwrap_or_default().into()
}

fn timestamp(instant: DateTime<Utc>) -> String {
    instant.to_rfc3339_opts(SecondsFormat::Secs, true)
}

fn reasons(failures: &[Reason]) -> String {
    failures
        .iter()
        .map(|reason| reason.as_str())
        .collect::<Vec<_>>()
        .join(", ")
}
