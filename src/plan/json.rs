//! The plan for programs.

use serde::Serialize;

use super::{Plan, words::instant};
use crate::key::{AccountId, days};

#[derive(Serialize)]
struct Document<'a> {
    as_of: String,
    complete: bool,
    last_use_known_until: Option<String>,
    users: Vec<User<'a>>,
    unread: Vec<Unread<'a>>,
    failures: Vec<Failure<'a>>,
    remarks: Vec<String>,
}

#[derive(Serialize)]
struct User<'a> {
    account_id: &'a str,
    #[serde(rename = "user_name")]
    name: &'a str,
    step: &'a str,
    why: &'a str,
    overdue_days: Option<f64>,
    notes: &'a [String],
    commands: Vec<Command>,
}

#[derive(Serialize)]
struct Command {
    purpose: &'static str,
    #[serde(rename = "command")]
    line: String,
    argv: Vec<String>,
}

#[derive(Serialize)]
struct Unread<'a> {
    account_id: &'a str,
    #[serde(rename = "user_name")]
    name: &'a str,
    reason: &'static str,
}

#[derive(Serialize)]
struct Failure<'a> {
    account_id: Option<&'a str>,
    reason: &'static str,
    message: &'a str,
}

pub(super) fn render(plan: &Plan) -> String {
    let users = plan.advices.iter().map(|advice| User {
        account_id: advice.account.as_str(),
        name: &advice.user,
        step: advice.step,
        why: &advice.why,
        overdue_days: advice.overdue.map(days),
        notes: &advice.notes,
        commands: advice
            .actions
            .iter()
            .filter_map(|action| {
                let command = action.command(&advice.user, &plan.cli)?;
                Some(Command {
                    purpose: action.purpose().trim_end_matches(':'),
                    line: command.line(),
                    argv: command.argv().to_vec(),
                })
            })
            .collect(),
    });
    let document = Document {
        as_of: instant(plan.now),
        complete: plan.is_complete,
        last_use_known_until: plan.known_until.map(instant),
        users: users.collect(),
        unread: plan
            .unread
            .iter()
            .map(|unread| Unread {
                account_id: unread.account.as_str(),
                name: &unread.user,
                reason: unread.reason.as_str(),
            })
            .collect(),
        failures: plan
            .failures
            .iter()
            .map(|failure| Failure {
                account_id: failure.account.as_ref().map(AccountId::as_str),
                reason: failure.reason.as_str(),
                message: &failure.message,
            })
            .collect(),
        remarks: plan.remarks(),
    };
    let mut text =
        serde_json::to_string_pretty(&document).expect("texts and finite numbers make JSON");
    text.push('\n');
    text
}
