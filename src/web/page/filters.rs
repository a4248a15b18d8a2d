//! The form that narrows the worklist down. It works by itself: a GET of this page.

use maud::{Markup, html};

use super::words::{step as step_words, verdict as verdict_words};
use crate::{
    html::shown,
    rotation::Step,
    snapshot::Snapshot,
    worklist::{
        parameters::Surface,
        query::{Order, Query, Sort, StatusFilter, VERDICTS},
    },
};

/// Up to so many accounts can be chosen from a list.
const LISTED: usize = 300;

pub(super) fn form(query: &Query, snapshot: &Snapshot) -> Markup {
    let filter = &query.filter;
    html! {
        form.filters method="get" action="./#keys" role="search" aria-label="Filter the keys" {
            label {
                span { "User" }
                input type="search" name="user" maxlength="128" autocomplete="off" spellcheck="false"
                    placeholder="part of the name" value=(shown(filter.user.as_deref().unwrap_or_default()));
            }
            (account(query, snapshot))
            (select("Verdict", "verdict", "all", &VERDICTS.map(|(name, verdict)| Choice {
                name,
                words: if name == "skip" { "not active or exempt" } else { verdict_words(verdict, false) },
                is_chosen: filter.verdict == Some(verdict),
            })))
            (select("Status", "status", "all", &StatusFilter::ALL.map(|(name, status)| Choice {
                name,
                words: name,
                is_chosen: filter.status == Some(status),
            })))
            (select("Next step", "step", "all", &Step::NAMES.map(|name| Choice {
                name,
                words: step_words(name),
                is_chosen: filter.step == Some(name),
            })))
            (select("Exempt", "exempt", "all", &[(true, "yes"), (false, "no")].map(|(value, name)| Choice {
                name,
                words: name,
                is_chosen: filter.exempt == Some(value),
            })))
            (select("Sort by", "sort", "", &Sort::ALL.map(|(name, sort)| Choice {
                name,
                words: sort_words(sort),
                is_chosen: query.sort == sort,
            })))
            (select("Order", "order", "", &Order::ALL.map(|(name, order)| Choice {
                name,
                words: if order == Order::Ascending { "ascending" } else { "descending" },
                is_chosen: query.order == order,
            })))
            @if query.limit != Surface::Page.default_limit() {
                input type="hidden" name="limit" value=(query.limit);
            }
            div.buttons {
                button type="submit" { "Show" }
                " " a href="./#keys" { "Reset" }
            }
        }
    }
}

pub(super) fn sort_words(sort: Sort) -> &'static str {
    match sort {
        Sort::Account => "Account",
        Sort::User => "User",
        Sort::Key => "Key",
        Sort::Status => "Status",
        Sort::Urgency => "Urgency",
        Sort::Age => "Age",
        Sort::Left => "Time left",
        Sort::LastUsed => "Last used",
        Sort::Step => "Next step",
    }
}

fn account(query: &Query, snapshot: &Snapshot) -> Markup {
    let chosen = query.filter.account;
    if snapshot.accounts.len() > LISTED {
        return html! {
            label {
                span { "Account" }
                input type="search" name="account" inputmode="numeric" pattern="[0-9]{12}" placeholder="12 digits"
                    value=(chosen.map(|id| id.to_string()).unwrap_or_default());
            }
        };
    }
    let is_known = |id| snapshot.accounts.iter().any(|account| account.id == id);
    html! {
        label {
            span { "Account" }
            select name="account" {
                option value="" { "all" }
                @for account in &snapshot.accounts {
                    option value=(account.id) selected[chosen == Some(account.id)] {
                        (account.id)
                        @if let Some(inventory) = &account.inventory {
                            @if let Some(name) = &inventory.account.name { " " (shown(name)) }
                        }
                    }
                }
                @if let Some(id) = chosen.filter(|id| !is_known(*id)) {
                    option value=(id) selected { (id) " (not known here)" }
                }
            }
        }
    }
}

struct Choice {
    name: &'static str,
    words: &'static str,
    is_chosen: bool,
}

/// A list to choose from; `all` is what choosing nothing is called, where that is possible.
fn select<const N: usize>(label: &str, name: &str, all: &str, choices: &[Choice; N]) -> Markup {
    html! {
        label {
            span { (label) }
            select name=(name) {
                @if !all.is_empty() { option value="" { (all) } }
                @for choice in choices {
                    option value=(choice.name) selected[choice.is_chosen] { (choice.words) }
                }
            }
        }
    }
}
