//! The accounts as metrics: what they hold, and how fresh and whole the knowledge of them is.

use std::fmt;

use prometheus_client::encoding::DescriptorEncoder;

use super::{
    exporter::UNKNOWN_ACCOUNT,
    keys::{gauge, inventories},
    labels::UnixSeconds,
};
use crate::{
    key::days,
    snapshot::{Scope, Snapshot},
};

/// Writes the families that have one series an account, or one in all.
pub(super) fn encode(snapshot: &Snapshot, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    encode_contents(snapshot, encoder)?;
    encode_freshness(snapshot, encoder)?;
    encode_scope(snapshot.scope, encoder)?;
    encode_settings(snapshot, encoder)
}

fn encode_contents(snapshot: &Snapshot, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let mut family = gauge(
        encoder,
        "aws_iam_users",
        "IAM users in the account, the root user not counted, as of the account's iam_key_exporter_data_timestamp_seconds; absent \
         where their listing never came to its end.",
    )?;
    for (id, inventory) in inventories(snapshot) {
        if let Some(count) = inventory.user_count {
            family
                .encode_family(&[("account_id", id)])?
                .encode_gauge(&count)?;
        }
    }
    let mut family = gauge(
        encoder,
        "aws_iam_root_access_keys_active",
        "Active access keys of the root user, from the credential report, which is up to 4 hours old; absent without one.",
    )?;
    for (id, inventory) in inventories(snapshot) {
        if let Some(active) = inventory.root.active {
            family
                .encode_family(&[("account_id", id)])?
                .encode_gauge(&active)?;
        }
    }
    let mut family = gauge(
        encoder,
        "aws_iam_root_access_keys_present",
        "1 if the root user has access keys, active or not, 0 if it has none, from GetAccountSummary at the last \
         refresh or from the credential report; absent where neither may be read.",
    )?;
    for (id, inventory) in inventories(snapshot) {
        if let Some(present) = inventory.root.present {
            family
                .encode_family(&[("account_id", id)])?
                .encode_gauge(&u32::from(present))?;
        }
    }
    let mut family = gauge(
        encoder,
        "aws_iam_account_info",
        "The account's name in its organisation, IAM alias and partition, as of the last refresh that could read them; \
         empty where not known.",
    )?;
    for (id, inventory) in inventories(snapshot) {
        let account = &inventory.account;
        family
            .encode_family(&[
                ("account_id", id),
                ("account_name", account.name.as_deref().unwrap_or_default()),
                (
                    "account_alias",
                    account.alias.as_deref().unwrap_or_default(),
                ),
                ("partition", &*account.partition),
            ])?
            .encode_gauge(&1_u32)?;
    }
    Ok(())
}

fn encode_freshness(snapshot: &Snapshot, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let mut family = gauge(
        encoder,
        "iam_key_exporter_account_up",
        "1 if the last refresh read the account completely, 0 if it failed or left anything unread; data shown beside \
         a 0 is the last that is known.",
    )?;
    for account in &snapshot.accounts {
        let up = account.is_up() && account.inventory.is_some();
        family
            .encode_family(&[("account_id", account.id.as_str())])?
            .encode_gauge(&u32::from(up))?;
    }
    if snapshot.unidentified.is_some() {
        family
            .encode_family(&[("account_id", UNKNOWN_ACCOUNT)])?
            .encode_gauge(&0_u32)?;
    }
    let mut family = gauge(
        encoder,
        "iam_key_exporter_unread_users",
        "Users of the account whose access keys the last refresh could not read whole or judge; absent where it could \
         not read the account at all.",
    )?;
    for account in snapshot.accounts.iter().filter(|account| account.reached) {
        if let Some(inventory) = &account.inventory {
            family
                .encode_family(&[("account_id", account.id.as_str())])?
                .encode_gauge(&inventory.unread_users())?;
        }
    }
    let mut family = gauge(
        encoder,
        "iam_key_exporter_last_refresh_success_timestamp_seconds",
        "When a refresh last read the account completely; absent until one has.",
    )?;
    for account in &snapshot.accounts {
        if let Some(time) = account.last_success {
            family
                .encode_family(&[("account_id", account.id.as_str())])?
                .encode_gauge(&UnixSeconds(time))?;
        }
    }
    let mut family = gauge(
        encoder,
        "iam_key_exporter_data_timestamp_seconds",
        "How old the data shown is: the oldest of the listing's time, the credential report's GeneratedTime and the \
         file's modification time; absent until there is any.",
    )?;
    for (id, inventory) in inventories(snapshot) {
        family
            .encode_family(&[("account_id", id)])?
            .encode_gauge(&UnixSeconds(inventory.data_time))?;
    }
    let mut family = gauge(
        encoder,
        "iam_key_exporter_refresh_duration_seconds",
        "How long the last refresh of the account took, whether or not it succeeded.",
    )?;
    for account in &snapshot.accounts {
        family
            .encode_family(&[("account_id", account.id.as_str())])?
            .encode_gauge(&account.duration.as_secs_f64())?;
    }
    Ok(())
}

fn encode_scope(scope: Scope, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let mut family = gauge(
        encoder,
        "iam_key_exporter_accounts",
        "Accounts that this exporter reads, be it in vain; absent until it first looked for them.",
    )?;
    if let Some(accounts) = scope.accounts {
        family.encode_gauge(&accounts)?;
    }
    let mut family = gauge(
        encoder,
        "iam_key_exporter_last_discovery_success_timestamp_seconds",
        "When this exporter last found out which accounts there are; absent until it has, and where the configuration \
         alone says it.",
    )?;
    if let Some(time) = scope.last_discovery {
        family.encode_gauge(&UnixSeconds(time))?;
    }
    let mut family = gauge(
        encoder,
        "iam_key_exporter_shard_info",
        "The part of all accounts that this exporter reads, from 0, and of how many; absent where one reads them all.",
    )?;
    if !scope.shard.is_whole() {
        family
            .encode_family(&[
                ("shard", scope.shard.index().to_string()),
                ("shards", scope.shard.count().to_string()),
            ])?
            .encode_gauge(&1_u32)?;
    }
    let mut family = gauge(
        encoder,
        "iam_key_exporter_shards",
        "Into how many parts the accounts are spread, by this exporter's configuration; absent where one reads them all.",
    )?;
    if !scope.shard.is_whole() {
        family.encode_gauge(&u32::from(scope.shard.count().get()))?;
    }
    Ok(())
}

fn encode_settings(snapshot: &Snapshot, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    gauge(
        encoder,
        "aws_iam_access_key_max_age_days",
        "The age in days up to which an active access key is in order, unless a rule gives another; from this \
         exporter's configuration.",
    )?
    .encode_gauge(&days(snapshot.policy.thresholds.max_age))?;
    gauge(
        encoder,
        "iam_key_exporter_refresh_interval_seconds",
        "The time between two refreshes of an account; from this exporter's configuration.",
    )?
    .encode_gauge(&snapshot.refresh_interval.as_secs_f64())
}
