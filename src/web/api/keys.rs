//! `/api/v1/keys`.

use std::collections::BTreeMap;

use hyper::{Response, StatusCode};
use serde::Serialize;

use super::{
    instant, json,
    problem::{bad_parameter, not_ready},
};
use crate::{
    inventory::Exemption,
    key::{LastUse, days},
    reason::Reason,
    snapshot::{AccountState, Snapshot},
    web::{body::ResponseBody, routes::Asked},
    worklist::{
        cursor,
        health::Health,
        item::{Item, told},
        parameters::{Surface, parse},
        query::verdict_name,
        select,
    },
};

#[derive(Serialize)]
struct Keys<'a> {
    as_of: String,
    complete: bool,
    total: usize,
    items: Vec<Key<'a>>,
    next_cursor: Option<String>,
}

#[derive(Serialize)]
struct Key<'a> {
    account_id: &'a str,
    account_name: Option<&'a str>,
    user_name: &'a str,
    access_key_id: Option<&'a str>,
    status: Option<&'a str>,
    verdict: &'static str,
    created: Option<String>,
    age_days: Option<f64>,
    due: Option<String>,
    days_left: Option<f64>,
    last_used: Option<LastUsed<'a>>,
    unread_reason: Option<&'static str>,
    exemption: Option<Exempt<'a>>,
    max_age_days: f64,
    tags: BTreeMap<&'a str, &'a str>,
    step: &'static str,
    why: Option<&'a str>,
    notes: &'a [String],
    commands: Vec<Command<'a>>,
}

#[derive(Serialize)]
struct LastUsed<'a> {
    known: &'static str,
    time: Option<String>,
    service: Option<&'a str>,
    region: Option<&'a str>,
}

#[derive(Serialize)]
struct Exempt<'a> {
    reason: &'a str,
    until: Option<String>,
}

#[derive(Serialize)]
struct Command<'a> {
    purpose: &'static str,
    #[serde(rename = "command")]
    line: String,
    argv: &'a [String],
}

/// The keys that are asked for.
pub(in crate::web) fn keys(asked: &Asked<'_>) -> Response<ResponseBody> {
    let query = match parse(asked.query, Surface::Api) {
        Ok(query) => query,
        Err(bad) => return bad_parameter(asked, &bad),
    };
    let (snapshot, now) = (asked.snapshot, asked.now);
    if !snapshot.is_ready() {
        let health = Health::of(snapshot, now);
        let sentences: Vec<_> = health
            .notices
            .into_iter()
            .map(|notice| notice.text)
            .collect();
        return not_ready(asked, sentences.join(" "));
    }
    let selection = select(snapshot, &query, now);
    let items: Vec<_> = selection
        .rows
        .iter()
        .map(|row| Item::new(*row, snapshot, now))
        .collect();
    let last = selection.rows.last().filter(|_| selection.has_more);
    let keys = Keys {
        as_of: instant(now),
        complete: is_complete(snapshot),
        total: selection.total,
        items: items.iter().map(|item| key(item, asked)).collect(),
        next_cursor: last.map(|row| cursor::after(*row, &query, snapshot.key_ids)),
    };
    json(asked, StatusCode::OK, &keys)
}

/// Whether everything was read, so that nothing can be missing.
pub(super) fn is_complete(snapshot: &Snapshot) -> bool {
    snapshot.is_ready()
        && snapshot.unidentified.is_none()
        && snapshot.accounts.iter().all(AccountState::is_up)
}

fn key<'a>(item: &'a Item<'a>, asked: &Asked<'_>) -> Key<'a> {
    let row = &item.row;
    let advice = item.advice.as_ref();
    Key {
        account_id: row.account.id.as_str(),
        account_name: row.inventory.account.name.as_deref(),
        user_name: &row.user.name,
        access_key_id: item.key_name.as_deref(),
        status: row.key.map(|key| key.status.as_str()),
        verdict: verdict_name(row.verdict),
        created: row.key.map(|key| instant(key.created)),
        age_days: item.age.map(days),
        due: row.due.map(instant),
        days_left: item.left.map(days),
        last_used: row.key.map(|key| last_used(&key.last_use)),
        unread_reason: row.user.unread_reason().map(Reason::as_str),
        exemption: row
            .user
            .exemption
            .as_ref()
            .filter(|_| row.user.is_exempt(asked.now))
            .map(|given| exemption(given)),
        max_age_days: days(asked.snapshot.policy.of(row.user).max_age),
        tags: row
            .user
            .tags
            .iter()
            .map(|tag| (&*tag.key, &*tag.value))
            .collect(),
        step: row.step,
        why: advice.map(|advice| &*advice.why),
        notes: advice.map_or(&[], |advice| &advice.notes),
        commands: item
            .commands
            .iter()
            .map(|(purpose, command)| Command {
                purpose,
                line: command.line(),
                argv: command.argv(),
            })
            .collect(),
    }
}

fn last_used(last_use: &LastUse) -> LastUsed<'_> {
    match last_use {
        LastUse::At(used) => LastUsed {
            known: "at",
            time: Some(instant(used.time)),
            service: told(used.service()),
            region: told(used.region()),
        },
        LastUse::Never => nothing_known("never"),
        LastUse::Unknown => nothing_known("unknown"),
    }
}

fn nothing_known(known: &'static str) -> LastUsed<'static> {
    LastUsed {
        known,
        time: None,
        service: None,
        region: None,
    }
}

fn exemption(exemption: &Exemption) -> Exempt<'_> {
    Exempt {
        reason: &exemption.reason,
        until: exemption.until.map(instant),
    }
}
