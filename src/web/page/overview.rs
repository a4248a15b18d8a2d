//! How things stand, at a glance.

use chrono::{DateTime, Utc};
use maud::{Markup, html};

use super::{
    histogram,
    words::{day, moment, number, step as step_words},
};
use crate::{
    html::shown,
    plan::words::span,
    policy::Verdict,
    rotation::Step,
    snapshot::Snapshot,
    worklist::{
        glance::{Exempt, Glance},
        health::{Health, Tone, counted},
        parameters::{Surface, link},
        query::{Filter, Query, Sort, Start, StatusFilter},
    },
};

/// How many exemptions are listed; the worklist has all of them.
const EXEMPTIONS_SHOWN: usize = 20;

pub(super) fn tone_class(tone: Tone) -> &'static str {
    match tone {
        Tone::Good => "good",
        Tone::Warning => "warning",
        Tone::Bad => "bad",
    }
}

/// The state of the data, in words.
pub(super) fn health(health: &Health<'_>, snapshot: &Snapshot) -> Markup {
    html! {
        div.notices {
            @for notice in &health.notices {
                p.notice.(tone_class(notice.tone)) { (notice.text) }
            }
        }
        p.soft.basis { (basis(snapshot)) }
    }
}

fn basis(snapshot: &Snapshot) -> String {
    let policy = &snapshot.policy.thresholds;
    format!(
        "An active key is overdue after {}, unless a rule says otherwise; its rotation is due {} before. Data is refreshed \
         every {}.",
        span(policy.max_age),
        span(policy.warn),
        humantime::format_duration(snapshot.refresh_interval)
    )
}

/// A link to a part of the worklist.
fn part(filter: Filter) -> String {
    let query = Query {
        filter,
        sort: Sort::default(),
        order: Sort::default().natural(),
        limit: Surface::Page.default_limit(),
        start: Start::Offset(0),
    };
    format!("./{}#keys", link(&query, Surface::Page))
}

fn with_verdict(verdict: Verdict) -> String {
    part(Filter {
        verdict: Some(verdict),
        ..Filter::default()
    })
}

/// The numbers, the steps and the ages.
pub(super) fn glance(glance: &Glance<'_>, snapshot: &Snapshot) -> Markup {
    let active = part(Filter {
        status: Some(StatusFilter::Active),
        ..Filter::default()
    });
    let exempt = part(Filter {
        exempt: Some(true),
        ..Filter::default()
    });
    let (users, keys) = (glance.users, glance.keys);
    html! {
        section.glance aria-labelledby="glance" {
            h2 #glance { "At a glance" }
            @if !glance.root_keys.is_empty() {
                p.notice.bad {
                    "The root user has access keys in "
                    (counted(glance.root_keys.len(), "account", "accounts")) ": "
                    (glance.root_keys.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))
                    ". Nobody should: delete them."
                }
            }
            div.columns {
                div {
                    @if let Some(share) = glance.compliant_share() {
                        p.share {
                            b { (percent(share)) }
                            " of users with keys are compliant"
                        }
                    }
                    h3 #figures-keys { "Keys" }
                    dl.numbers aria-labelledby="figures-keys" {
                        (figure("Overdue", keys.overdue, "alarm", Some(&with_verdict(Verdict::Alarm))))
                        (figure("Due soon", keys.due_soon, "soon", None))
                        (figure("Overdue, exempt", keys.overdue_exempt, "skip", Some(&exempt)))
                        (figure("Active", keys.active, "", Some(&active)))
                    }
                    h3 #figures-users { "Users" }
                    dl.numbers aria-labelledby="figures-users" {
                        (figure("Not compliant", users.non_compliant, "alarm", None))
                        (figure("Compliant", users.compliant, "ok", None))
                        (figure("Not known", users.unknown, "error", Some(&with_verdict(Verdict::Error))))
                        (figure("Exempt", users.exempt, "skip", Some(&exempt)))
                        (figure("In all", users.total, "", None))
                    }
                }
                (histogram::ages(&glance.ages, snapshot.policy.thresholds.max_age))
            }
            (steps(glance))
        }
    }
}

/// Never rounded up to all: one user in a thousand is not compliant, and it should show.
fn percent(share: f64) -> String {
    format!("{} %", (share * 1000.0).floor() / 10.0)
}

fn figure(name: &str, count: usize, kind: &str, href: Option<&str>) -> Markup {
    let kind = if count == 0 { "" } else { kind };
    html! {
        div.(kind) {
            dt { @if let Some(href) = href { a href=(href) { (name) } } @else { (name) } }
            dd { (number(count)) }
        }
    }
}

fn steps(glance: &Glance<'_>) -> Markup {
    let todo: Vec<_> = Step::NAMES
        .into_iter()
        .zip(glance.steps)
        .filter(|(name, count)| *name != "none" && *count > 0)
        .collect();
    html! {
        h3 #steps { "Next steps" }
        @if todo.is_empty() {
            p { "No user has anything to do." }
        } @else {
            ul.steps aria-labelledby="steps" {
                @for (name, count) in todo {
                    li {
                        a href=(part(Filter { step: Some(name), ..Filter::default() })) {
                            b { (number(count)) } " " (step_words(name))
                        }
                    }
                }
            }
        }
    }
}

/// Who is exempt, and until when.
pub(super) fn exemptions(glance: &Glance<'_>, snapshot: &Snapshot, now: DateTime<Utc>) -> Markup {
    let warn = snapshot.policy.thresholds.warn;
    let soon = glance
        .exempt
        .iter()
        .filter(|exempt| exempt.ends_soon(warn, now));
    let soon = soon.count();
    let all = glance.exempt.len();
    html! {
        @if all > 0 {
            section aria-labelledby="exemptions" {
                h2 #exemptions { "Exemptions" }
                p {
                    (counted(all, "user is exempt", "users are exempt")) ". "
                    @if soon > 0 {
                        b { (counted(soon, "exemption ends", "exemptions end")) " within " (span(warn)) "." }
                    } @else {
                        "None ends within " (span(warn)) "."
                    }
                    " An exemption mutes alerts; it makes nobody compliant."
                }
                table.plain.cards {
                    caption.unseen { "Exemptions, those that end first at the front" }
                    thead { tr {
                        th scope="col" { "User" }
                        th scope="col" { "Account" }
                        th scope="col" { "Ends" }
                        th scope="col" { "Reason" }
                    } }
                    tbody {
                        @for exempt in glance.exempt.iter().take(EXEMPTIONS_SHOWN) {
                            (exemption(exempt, exempt.ends_soon(warn, now), now))
                        }
                    }
                }
                @if all > EXEMPTIONS_SHOWN {
                    p { a href=(part(Filter { exempt: Some(true), ..Filter::default() })) { "Keys of all exempt users" } }
                }
            }
        }
    }
}

fn exemption(exempt: &Exempt<'_>, is_soon: bool, now: DateTime<Utc>) -> Markup {
    html! {
        tr {
            th scope="row" { (shown(&exempt.user.name)) }
            td data-label="Account" { (exempt.account) }
            td data-label="Ends" {
                @match exempt.until {
                    None => "never",
                    Some(until) if is_soon => {
                        b.soon { "in " (span(until - now)) } " (" (moment(until)) ")"
                    }
                    Some(until) => (day(until)),
                }
            }
            td data-label="Reason" { (shown(exempt.reason)) }
        }
    }
}
