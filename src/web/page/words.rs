//! Times and verdicts in words.

use chrono::{DateTime, TimeDelta, Utc};
use maud::{Markup, html};

use crate::{
    html::shown,
    key::LastUse,
    plan::words::{instant, span},
    policy::Verdict,
    worklist::item::told,
};

/// An instant, to the minute.
pub(super) fn moment(time: DateTime<Utc>) -> Markup {
    html! {
        time datetime=(instant(time)) { (time.format("%Y-%m-%d %H:%M")) " UTC" }
    }
}

/// A day.
pub(super) fn day(time: DateTime<Utc>) -> Markup {
    html! { time datetime=(instant(time)) { (time.format("%Y-%m-%d")) } }
}

/// When a key was last used, and where.
pub(super) fn last_use(last_use: &LastUse, now: DateTime<Utc>) -> Markup {
    match last_use {
        LastUse::Never => html! { "never" },
        LastUse::Unknown => html! { span.soft { "not known" } },
        LastUse::At(used) => {
            let (service, region) = (told(used.service()), told(used.region()));
            html! {
                time datetime=(instant(used.time)) { (span(now - used.time)) " ago" }
                @if let Some(service) = service {
                    " " span.soft {
                        (shown(service))
                        @if let Some(region) = region { " in " (shown(region)) }
                    }
                }
            }
        }
    }
}

/// The time left until a key is overdue.
pub(super) fn left(left: TimeDelta, is_overdue: bool) -> Markup {
    let words = span(left.abs());
    if is_overdue {
        html! { b { (words) } " overdue" }
    } else {
        html! { (words) }
    }
}

/// A verdict in a word or two.
pub(super) fn verdict(verdict: Verdict, is_exempt: bool) -> &'static str {
    match verdict {
        Verdict::Alarm => "overdue",
        Verdict::Ok => "in order",
        Verdict::Skip if is_exempt => "exempt",
        Verdict::Skip => "not active",
        Verdict::Error => "not known",
    }
}

/// What a step asks for.
pub(super) fn step(step: &str) -> &'static str {
    match step {
        "create" => "Create a second key",
        "update" => "Move the applications",
        "deactivate" => "Deactivate the old key",
        "confirm" => "Wait and confirm",
        "delete" => "Delete the old key",
        "free" => "Make room for a new key",
        _ => "Nothing to do",
    }
}

/// A number with thin spaces between thousands, which screen readers and searches take for one number.
pub(super) fn number(count: usize) -> String {
    let digits = count.to_string();
    let mut grouped = String::with_capacity(digits.len() + 8);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push('\u{202f}');
        }
        grouped.push(digit);
    }
    grouped
}
