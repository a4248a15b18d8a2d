//! The keys, users and accounts of one snapshot as metrics, with every age computed at the scrape.
//!
//! Families are written one after another, each over all accounts, because a family must stand in
//! an exposition once and whole.

use std::{fmt, sync::Arc};

use chrono::{DateTime, Utc};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeGaugeValue, MetricEncoder},
    metrics::MetricType,
    registry::Registry,
};

use super::{
    accounts,
    labels::{Identities, Identity, KeyLabels, LastUseLabels, UnixSeconds, before_identity},
    tags,
};
use crate::{
    inventory::{Inventory, User},
    key::{AccessKey, LastUse, days},
    rotation::{self, Step},
    snapshot::Snapshot,
};

/// A registry for one scrape: everything that is known from `snapshot`, as it stands at `now`.
pub fn registry(snapshot: Arc<Snapshot>, now: DateTime<Utc>) -> Registry {
    let identities = Arc::new(Identities::of(&snapshot));
    registry_with(identities, snapshot, now)
}

/// [`registry`] with the identities of the snapshot's keys written out before.
pub(super) fn registry_with(
    identities: Arc<Identities>,
    snapshot: Arc<Snapshot>,
    now: DateTime<Utc>,
) -> Registry {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(KeyMetrics {
        snapshot,
        now,
        identities,
    }));
    registry
}

/// The `aws_iam_*` families and the exporter's families of each account, of one snapshot at one
/// instant.
#[derive(Debug)]
struct KeyMetrics {
    snapshot: Arc<Snapshot>,
    now: DateTime<Utc>,
    identities: Arc<Identities>,
}

impl Collector for KeyMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let view = View {
            snapshot: &self.snapshot,
            now: self.now,
            identities: &self.identities,
        };
        view.encode_keys(&mut encoder)?;
        view.encode_users(&mut encoder)?;
        tags::encode(&self.snapshot, &mut encoder)?;
        accounts::encode(&self.snapshot, &mut encoder)
    }
}

/// Begins a family of gauges. `help` is written as it is, so it is one line and ends in a full stop.
pub(super) fn gauge<'e>(
    encoder: &'e mut DescriptorEncoder<'_>,
    name: &'e str,
    help: &str,
) -> Result<MetricEncoder<'e>, fmt::Error> {
    encoder.encode_descriptor(name, help, None, MetricType::Gauge)
}

/// The inventories of `snapshot`, with their accounts' ids. An account never read has none, and so
/// no series but those that say that it is down.
pub(super) fn inventories(snapshot: &Snapshot) -> impl Iterator<Item = (&str, &Inventory)> {
    snapshot
        .accounts
        .iter()
        .filter_map(|account| Some((account.id.as_str(), account.inventory.as_deref()?)))
}

/// A snapshot under one clock.
struct View<'a> {
    snapshot: &'a Snapshot,
    now: DateTime<Utc>,
    identities: &'a Identities,
}

impl<'a> View<'a> {
    fn each_user(&self, mut visit: impl FnMut(&'a str, &'a User) -> fmt::Result) -> fmt::Result {
        self.each_user_of(|account, _, user| visit(account, user))
    }

    /// Visits each user with the inventory they are in.
    fn each_user_of(
        &self,
        mut visit: impl FnMut(&'a str, &'a Inventory, &'a User) -> fmt::Result,
    ) -> fmt::Result {
        for (account, inventory) in inventories(self.snapshot) {
            for user in &inventory.users {
                visit(account, inventory, user)?;
            }
        }
        Ok(())
    }

    /// Visits each key with its identity and user.
    fn each_key(
        &self,
        mut visit: impl FnMut(Identity<'_>, &User, &AccessKey) -> fmt::Result,
    ) -> fmt::Result {
        let mut identities = self.identities.iter();
        for (account, inventory) in inventories(self.snapshot) {
            let account = &before_identity(account);
            let keys = inventory
                .users
                .iter()
                .flat_map(|user| user.keys.iter().map(move |key| (user, key)));
            // The keys come first: who asks for an identity more than there are keys loses one.
            for ((user, key), identity) in keys.zip(&mut identities) {
                let identity = Identity {
                    account,
                    key: identity,
                };
                visit(identity, user, key)?;
            }
        }
        Ok(())
    }

    /// Writes one series for each key that `value` gives one for.
    fn encode_each_key<V: EncodeGaugeValue>(
        &self,
        family: &mut MetricEncoder<'_>,
        value: impl Fn(&User, &AccessKey) -> Option<V>,
    ) -> fmt::Result {
        self.each_key(|identity, user, key| {
            let Some(value) = value(user, key) else {
                return Ok(());
            };
            let labels = KeyLabels {
                identity,
                status: key.status.as_str(),
            };
            family.encode_family(&labels)?.encode_gauge(&value)
        })
    }

    fn encode_keys(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        self.encode_ages(encoder)?;
        self.encode_last_uses(encoder)
    }

    fn encode_ages(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut family = gauge(
            encoder,
            "aws_iam_access_key_age_days",
            "Days since the access key was created, computed at the scrape from IAM's CreateDate; read from a \
             credential report alone it may be too low, for that dates the last change where there was one.",
        )?;
        self.encode_each_key(&mut family, |_, key| Some(days(key.age(self.now))))?;
        let mut family = gauge(
            encoder,
            "aws_iam_access_key_created_timestamp_seconds",
            "When the access key was created, from IAM's CreateDate or, from a credential report alone, its \
             last_rotated; as of the account's iam_key_exporter_data_timestamp_seconds.",
        )?;
        self.encode_each_key(&mut family, |_, key| Some(UnixSeconds(key.created)))?;
        let mut family = gauge(
            encoder,
            "aws_iam_access_key_rotation_due_timestamp_seconds",
            "When the active access key turns overdue, computed from its creation with the maximum age and boundary \
             that apply to it.",
        )?;
        let policy = &self.snapshot.policy;
        self.encode_each_key(&mut family, |user, key| {
            let due = || UnixSeconds(policy.of(user).due_instant(key.created));
            key.is_active().then(due)
        })
    }

    fn encode_last_uses(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut family = gauge(
            encoder,
            "aws_iam_access_key_last_used_timestamp_seconds",
            "When the access key last signed a request, as AWS told; up to 4 hours older than the refresh where it \
             comes from a credential report. Absent where never used or not known.",
        )?;
        self.encode_each_key(&mut family, |_, key| match &key.last_use {
            LastUse::At(used) => Some(UnixSeconds(used.time)),
            LastUse::Never | LastUse::Unknown => None,
        })?;
        let mut family = gauge(
            encoder,
            "aws_iam_access_key_never_used",
            "1 where AWS says that the access key was never used; up to 4 hours older than the refresh where it \
             comes from a credential report. Absent where used or not known.",
        )?;
        self.encode_each_key(&mut family, |_, key| match key.last_use {
            LastUse::Never => Some(1_u32),
            LastUse::At(_) | LastUse::Unknown => None,
        })?;
        let mut family = gauge(
            encoder,
            "aws_iam_access_key_last_used_info",
            "The AWS service and region that the access key was last used for, as AWS told, N/A where it did not; up \
             to 4 hours older than the refresh where it comes from a credential report.",
        )?;
        self.each_key(|identity, _, key| {
            let LastUse::At(used) = &key.last_use else {
                return Ok(());
            };
            let labels = LastUseLabels {
                identity,
                service: used.service(),
                region: used.region(),
            };
            family.encode_family(&labels)?.encode_gauge(&1_u32)
        })
    }

    fn encode_users(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let policy = &self.snapshot.policy;
        let mut family = gauge(
            encoder,
            "aws_iam_user_access_keys_compliant",
            "1 if every access key of the user was read and no active one is overdue, 0 if one is, computed at the \
             scrape; absent without a key or where a failed read leaves it open. Exemptions do not count.",
        )?;
        self.each_user(|account, user| match policy.is_compliant(user, self.now) {
            Some(compliant) => family
                .encode_family(&[("account_id", account), ("user_name", &*user.name)])?
                .encode_gauge(&u32::from(compliant)),
            None => Ok(()),
        })?;
        let mut family = gauge(
            encoder,
            "aws_iam_user_rotation_step",
            "1 for the one step that comes next in rotating the user's access keys, computed at the scrape from their \
             age, status and last use; what may have happened since the data was read counts as use. Absent where \
             there is nothing to do.",
        )?;
        self.each_user_of(|account, inventory, user| {
            let seen = inventory.seen(user, self.now);
            match rotation::step(user, policy, self.now, seen) {
                Step::None => Ok(()),
                step => family
                    .encode_family(&[
                        ("account_id", account),
                        ("user_name", &*user.name),
                        ("step", step.name()),
                    ])?
                    .encode_gauge(&1_u32),
            }
        })?;
        let mut family = gauge(
            encoder,
            "aws_iam_user_exempt",
            "1 while an exemption of this exporter's configuration covers the user, judged at the scrape.",
        )?;
        self.each_user(|account, user| {
            if !user.is_exempt(self.now) {
                return Ok(());
            }
            family
                .encode_family(&[("account_id", account), ("user_name", &*user.name)])?
                .encode_gauge(&1_u32)
        })?;
        let mut family = gauge(
            encoder,
            "aws_iam_user_exemption_until_timestamp_seconds",
            "From when on the exemption of this exporter's configuration that covers the user no longer counts; absent \
             where it has no end or has ended.",
        )?;
        self.each_user(|account, user| {
            let until = user
                .exemption
                .as_ref()
                .and_then(|exemption| exemption.until);
            match until {
                Some(until) if user.is_exempt(self.now) => family
                    .encode_family(&[("account_id", account), ("user_name", &*user.name)])?
                    .encode_gauge(&UnixSeconds(until)),
                _ => Ok(()),
            }
        })
    }
}
