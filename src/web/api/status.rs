//! `/api/v1/status`.

use std::collections::BTreeMap;

use hyper::{Response, StatusCode};
use serde::Serialize;

use super::{instant, json, keys::is_complete, problem::bad_parameter};
use crate::{
    key::days,
    metrics::exporter::{REVISION, VERSION},
    policy::{self, Boundary},
    rotation::Step,
    snapshot::AccountState,
    web::{body::ResponseBody, routes::Asked},
    worklist::{
        glance::{self, Glance},
        health::Health,
        parameters::BadParameter,
        query::name_of,
    },
};

#[derive(Serialize)]
struct Status<'a> {
    name: &'static str,
    version: &'static str,
    revision: &'static str,
    as_of: String,
    ready: bool,
    complete: bool,
    notices: Vec<&'a str>,
    data_time: Option<String>,
    refresh_interval_seconds: f64,
    policy: Thresholds,
    users: Users,
    keys: Keys,
    ages: Vec<Ages>,
    steps: BTreeMap<&'static str, usize>,
    accounts: Vec<Account<'a>>,
}

#[derive(Serialize)]
struct Thresholds {
    max_age_days: f64,
    boundary: &'static str,
    settle_days: f64,
    unused_days: f64,
    warn_days: f64,
}

#[derive(Serialize)]
struct Users {
    total: usize,
    compliant: usize,
    non_compliant: usize,
    unknown: usize,
    exempt: usize,
}

#[derive(Serialize)]
struct Keys {
    total: usize,
    active: usize,
    overdue: usize,
    overdue_exempt: usize,
    due_soon: usize,
}

#[derive(Serialize)]
struct Ages {
    from_days: i64,
    to_days: Option<i64>,
    overdue: usize,
    in_order: usize,
}

#[derive(Serialize)]
struct Account<'a> {
    #[serde(rename = "account_id")]
    id: &'a str,
    name: Option<&'a str>,
    alias: Option<&'a str>,
    partition: Option<&'a str>,
    up: bool,
    failures: Vec<&'static str>,
    last_success: Option<String>,
    data_time: Option<String>,
    users: Option<usize>,
    unread_users: Option<usize>,
    root_access_keys: Option<bool>,
}

/// How things stand.
pub(in crate::web) fn status(asked: &Asked<'_>) -> Response<ResponseBody> {
    if let Some(query) = asked.query.filter(|query| !query.is_empty()) {
        let bad = BadParameter::none_allowed(query);
        return bad_parameter(asked, &bad);
    }
    let (snapshot, now) = (asked.snapshot, asked.now);
    let health = Health::of(snapshot, now);
    let glance = Glance::of(snapshot, now);
    let status = Status {
        name: env!("CARGO_PKG_NAME"),
        version: VERSION,
        revision: REVISION,
        as_of: instant(now),
        ready: snapshot.is_ready(),
        complete: is_complete(snapshot),
        notices: health.notices.iter().map(|notice| &*notice.text).collect(),
        data_time: health.data_time.map(instant),
        refresh_interval_seconds: snapshot.refresh_interval.as_secs_f64(),
        policy: thresholds(&snapshot.policy.thresholds),
        users: users(glance.users),
        keys: keys(glance.keys),
        ages: glance.ages.iter().map(ages).collect(),
        steps: Step::NAMES.into_iter().zip(glance.steps).collect(),
        accounts: snapshot.accounts.iter().map(account).collect(),
    };
    json(asked, StatusCode::OK, &status)
}

fn thresholds(policy: &policy::Thresholds) -> Thresholds {
    Thresholds {
        max_age_days: days(policy.max_age),
        boundary: name_of(&Boundary::ALL, policy.boundary),
        settle_days: days(policy.settle),
        unused_days: days(policy.unused),
        warn_days: days(policy.warn),
    }
}

fn users(users: glance::Users) -> Users {
    let glance::Users {
        total,
        compliant,
        non_compliant,
        unknown,
        exempt,
    } = users;
    Users {
        total,
        compliant,
        non_compliant,
        unknown,
        exempt,
    }
}

fn keys(keys: glance::Keys) -> Keys {
    let glance::Keys {
        total,
        active,
        overdue,
        overdue_exempt,
        due_soon,
    } = keys;
    Keys {
        total,
        active,
        overdue,
        overdue_exempt,
        due_soon,
    }
}

fn ages(group: &glance::AgeGroup) -> Ages {
    Ages {
        from_days: group.from,
        to_days: group.to,
        overdue: group.overdue,
        in_order: group.in_order,
    }
}

fn account(account: &AccountState) -> Account<'_> {
    let inventory = account.inventory.as_deref();
    let named = inventory.map(|inventory| &inventory.account);
    Account {
        id: account.id.as_str(),
        name: named.and_then(|named| named.name.as_deref()),
        alias: named.and_then(|named| named.alias.as_deref()),
        partition: named.map(|named| &*named.partition),
        up: account.is_up(),
        failures: account
            .failures
            .iter()
            .map(|reason| reason.as_str())
            .collect(),
        last_success: account.last_success.map(instant),
        data_time: inventory.map(|inventory| instant(inventory.data_time)),
        users: inventory.and_then(|inventory| inventory.user_count),
        unread_users: inventory.map(crate::inventory::Inventory::unread_users),
        root_access_keys: inventory.and_then(|inventory| inventory.root.present),
    }
}
