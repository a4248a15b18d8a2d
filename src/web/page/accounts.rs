//! The accounts and how each was read.

use maud::{Markup, html};

use super::overview::tone_class;
use crate::{
    html::shown,
    worklist::health::{AccountHealth, Health, Tone, counted},
};

/// How many accounts are shown without being asked to.
const FEW: usize = 10;

/// How many are listed at most; those in trouble come first.
const MOST: usize = 500;

pub(super) fn accounts(health: &Health<'_>) -> Markup {
    let all = health.accounts.len();
    let is_open = all <= FEW || health.tone() != Tone::Good;
    html! {
        @if all > 0 {
            section aria-labelledby="accounts" {
                h2 #accounts { "Accounts" }
                details open[is_open] {
                    summary {
                        (counted(all, "account", "accounts")) ", " (health.up) " read completely"
                    }
                    table.plain.cards {
                        caption.unseen { "Accounts, those in trouble first" }
                        thead { tr {
                            th scope="col" { "Account" }
                            th scope="col" { "Name" }
                            th scope="col" { "State" }
                        } }
                        tbody {
                            @for account in health.accounts.iter().take(MOST) { (row(account)) }
                        }
                    }
                    @if all > MOST {
                        p { "The other " (all - MOST) " are in the API." }
                    }
                }
            }
        }
    }
}

fn row(health: &AccountHealth<'_>) -> Markup {
    let known = health.account.inventory.as_deref();
    let named = known.map(|inventory| &inventory.account);
    let name = named.and_then(|account| account.name.as_deref().or(account.alias.as_deref()));
    let tone = match health.tone {
        Tone::Good => "up",
        Tone::Warning => "in part",
        Tone::Bad => "down",
    };
    html! {
        tr {
            th scope="row" { (health.account.id) }
            td data-label="Name" { @if let Some(name) = name { (shown(name)) } }
            td data-label="State" { span.badge.(tone_class(health.tone)) { (tone) } " " (health.text) }
        }
    }
}
