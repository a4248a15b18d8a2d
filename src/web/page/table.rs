//! The worklist: a page of keys, each with what to do next.
//!
//! On a narrow screen each row is shown as a card, which takes the meaning of a table away from a
//! browser's accessibility tree, so that the roles are written out.

use chrono::{DateTime, Utc};
use maud::{Markup, html};

use super::{
    filters::{self, sort_words},
    words::{day, last_use, left, moment, number, step as step_words, verdict as verdict_words},
};
use crate::{
    html::shown,
    plan::words::span,
    policy::Verdict,
    snapshot::Snapshot,
    worklist::{
        Selection,
        health::reason_words,
        item::Item,
        parameters::{Surface, link},
        query::{Order, Query, Sort, Start, verdict_name},
    },
};

const COLUMNS: [Sort; 8] = [
    Sort::Account,
    Sort::User,
    Sort::Key,
    Sort::Urgency,
    Sort::Age,
    Sort::Left,
    Sort::LastUsed,
    Sort::Step,
];

pub(super) fn worklist(
    selection: &Selection<'_>,
    query: &Query,
    snapshot: &Snapshot,
    now: DateTime<Utc>,
) -> Markup {
    html! {
        section aria-labelledby="keys" {
            h2 #keys { "Worklist" }
            (filters::form(query, snapshot))
            p.count role="status" { (count(selection, query)) }
            @if selection.rows.is_empty() {
                (nothing(selection, query))
            } @else {
                table.keys role="table" aria-describedby="keys" {
                    thead role="rowgroup" {
                        tr role="row" { @for sort in COLUMNS { (heading(sort, query)) } }
                    }
                    tbody role="rowgroup" {
                        @for (number, row) in selection.rows.iter().enumerate() {
                            (item(&Item::new(*row, snapshot, now), number, now))
                        }
                    }
                }
                (pages(selection, query))
            }
        }
    }
}

fn offset(query: &Query) -> usize {
    match query.start {
        Start::Offset(offset) => offset,
        Start::After(_) => 0,
    }
}

fn count(selection: &Selection<'_>, query: &Query) -> Markup {
    let first = offset(query) + 1;
    let last = offset(query) + selection.rows.len();
    let kind = if query.filter.is_empty() {
        ""
    } else {
        " that match"
    };
    html! {
        @match selection.total {
            0 => { "No keys" (kind) "." }
            1 => { "1 key" (kind) "." }
            total if (1..total).contains(&selection.rows.len()) => {
                "Keys " (number(first)) " to " (number(last)) " of " (number(total)) (kind) "."
            }
            total => { (number(total)) " keys" (kind) "." }
        }
    }
}

fn nothing(selection: &Selection<'_>, query: &Query) -> Markup {
    html! {
        p.empty {
            @if selection.total > 0 {
                "This page is beyond the last one. " a href=(page_link(query, 1)) { "Back to the first" }
            } @else if query.filter.is_empty() {
                "No IAM user has an access key. That is as it should be: roles give temporary credentials."
            } @else {
                "No key matches these filters. " a href="./#keys" { "Show all keys" }
            }
        }
    }
}

fn heading(sort: Sort, query: &Query) -> Markup {
    let is_current = query.sort == sort;
    let order = if is_current {
        query.order.reversed()
    } else {
        sort.natural()
    };
    let sorted = Query {
        sort,
        order,
        start: Start::Offset(0),
        ..query.clone()
    };
    let (state, arrow) = match query.order {
        Order::Ascending => ("ascending", "▲"),
        Order::Descending => ("descending", "▼"),
    };
    html! {
        th scope="col" role="columnheader" aria-sort=[is_current.then_some(state)] {
            a href={ "./" (link(&sorted, Surface::Page)) "#keys" } {
                (sort_words(sort))
                @if is_current { " " span aria-hidden="true" { (arrow) } }
            }
        }
    }
}

fn item(item: &Item<'_>, number: usize, now: DateTime<Utc>) -> Markup {
    let row = &item.row;
    let account = &row.inventory.account;
    let is_exempt = row.user.is_exempt(now);
    html! {
        tr.(verdict_name(row.verdict)) role="row" {
            td role="cell" data-label="Account" {
                (row.account.id)
                @if let Some(name) = account.name.as_deref().or(account.alias.as_deref()) {
                    " " span.soft { (shown(name)) }
                }
            }
            td.user role="rowheader" data-label="User" {
                (shown(&row.user.name))
                @if is_exempt { (exemption(item)) }
                @if let Some(max_age) = row.user.max_age {
                    " " span.remark { "own maximum age: " (span(max_age.into())) }
                }
                @for tag in row.user.tags.iter() {
                    " " span.remark { (shown(&tag.key)) ": " (shown(&tag.value)) }
                }
                @if let Some(reason) = row.user.unread_reason() {
                    " " span.remark { "could not be read: " (reason_words(reason)) }
                }
            }
            td.key role="cell" data-label="Key" {
                @match &item.key_name {
                    Some(name) => code { (shown(name)) },
                    None => span.soft { "none known" },
                }
            }
            td role="cell" data-label="Urgency" {
                span.badge.(verdict_name(row.verdict)) { (verdict_words(row.verdict, is_exempt)) }
                @if let Some(key) = row.key { " " span.soft { (shown(key.status.as_str())) } }
            }
            td.amount role="cell" data-label="Age" {
                @if let (Some(age), Some(key)) = (item.age, row.key) {
                    (span(age)) " " span.soft { "since " (day(key.created)) }
                }
            }
            td.amount role="cell" data-label="Time left" {
                @match (item.left, row.due) {
                    (Some(time), Some(due)) => {
                        (left(time, is_overdue(item))) " " span.soft { "due " (day(due)) }
                    }
                    _ => span.soft { "–" },
                }
            }
            td.used role="cell" data-label="Last used" {
                @if let Some(key) = row.key { (last_use(&key.last_use, now)) }
            }
            td.step role="cell" data-label="Next step" { (step(item, number)) }
        }
    }
}

/// Whether the key is overdue, exempt or not: at the due instant itself it isn't yet.
fn is_overdue(item: &Item<'_>) -> bool {
    item.row.verdict == Verdict::Alarm || item.left.is_some_and(|left| left.num_seconds() < 0)
}

fn exemption(item: &Item<'_>) -> Markup {
    html! {
        @if let Some(exemption) = &item.row.user.exemption {
            " " span.remark {
                "exempt"
                @if let Some(until) = exemption.until { " until " (moment(until)) }
                ": " (shown(&exemption.reason))
            }
        }
    }
}

/// The next step as a button that shows what to do above the page. A browser that knows no popovers
/// shows it in place.
fn step(item: &Item<'_>, number: usize) -> Markup {
    let words = step_words(item.row.step);
    let Some(advice) = &item.advice else {
        return html! {
            @if item.row.step == "none" {
                span.soft { (words) }
            } @else {
                (words) " " span.remark { "no command while the user can’t be read" }
            }
        };
    };
    let id = format!("todo-{number}");
    html! {
        button.todo type="button" popovertarget=(id) { (words) }
        div.advice #(id) popover role="group" aria-labelledby={ (id) "-title" } {
            h3 id={ (id) "-title" } { (words) ": " (shown(&item.row.user.name)) }
            p { (sentence(&advice.why)) }
            @for note in &advice.notes { p.soft { (sentence(note)) } }
            @for (place, (purpose, command)) in item.commands.iter().enumerate() {
                @if place == 0 || item.commands[place - 1].0 != *purpose { p.purpose { (purpose) ":" } }
                (command_line(&command.line()))
            }
            button.close type="button" popovertarget=(id) popovertargetaction="hide" { "Close" }
        }
    }
}

/// A command, broken between its words only: browsers break after hyphens too. Its text is left as it
/// is, so that it can be copied; no command holds what can't be seen.
fn command_line(line: &str) -> Markup {
    html! {
        pre.command {
            code {
                @for (place, word) in line.split(' ').enumerate() {
                    @if place > 0 { " " }
                    span { (word) }
                }
            }
        }
    }
}

/// The advice's phrases as sentences, except where they begin with a name that must stay as it is.
fn sentence(text: &str) -> Markup {
    let mut characters = text.chars();
    let first: String = characters
        .next()
        .into_iter()
        .flat_map(char::to_uppercase)
        .collect();
    html! { (shown(&first)) (shown(characters.as_str())) "." }
}

fn page_link(query: &Query, page: usize) -> String {
    let query = Query {
        start: Start::Offset((page - 1) * query.limit),
        ..query.clone()
    };
    format!("./{}#keys", link(&query, Surface::Page))
}

fn pages(selection: &Selection<'_>, query: &Query) -> Markup {
    let current = offset(query) / query.limit + 1;
    let last = selection.total.div_ceil(query.limit).max(1);
    html! {
        @if last > 1 {
            nav.pages aria-label="Pages" {
                ul {
                    @if current > 1 {
                        li { a href=(page_link(query, 1)) { "First" } }
                        li { a href=(page_link(query, current - 1)) rel="prev" { "Previous" } }
                    }
                    li { span aria-current="page" { "Page " (number(current)) " of " (number(last)) } }
                    @if selection.has_more {
                        li { a href=(page_link(query, current + 1)) rel="next" { "Next" } }
                        li { a href=(page_link(query, last)) { "Last" } }
                    }
                }
            }
        }
    }
}
