//! The page at `/`: how things stand and what to do next, rendered here, so that it needs no script.

mod accounts;
mod filters;
mod histogram;
mod layout;
mod overview;
mod policy;
mod table;
mod words;

use hyper::{
    Response, StatusCode,
    header::{CONTENT_SECURITY_POLICY, HeaderValue, REFERRER_POLICY},
};
use maud::{Markup, html};

use self::layout::Frame;
use super::{answer::fresh, body::ResponseBody, routes::Asked};
use crate::{
    html::shown,
    worklist::{
        glance::Glance,
        health::Health,
        parameters::{BadParameter, Surface, parse},
        query::Query,
        select,
    },
};

/// The page that the query asks for, or one that says why it can't be shown.
pub(super) fn respond(asked: &Asked<'_>) -> Response<ResponseBody> {
    let frame = Frame {
        telemetry_path: asked.telemetry_path.as_str(),
        now: asked.now,
    };
    let (status, page) = match parse(asked.query, Surface::Page) {
        Ok(query) => (StatusCode::OK, page(asked, &frame, &query)),
        Err(bad) => (StatusCode::BAD_REQUEST, mistake(&frame, &bad)),
    };
    let body = page.into_string().into_bytes();
    let mut response = fresh(status, "text/html; charset=utf-8", body, asked.encoding);
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, policy::header());
    // What was searched for is nobody else's business.
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    response
}

fn page(asked: &Asked<'_>, frame: &Frame<'_>, query: &Query) -> Markup {
    let (snapshot, now) = (asked.snapshot, asked.now);
    let health = Health::of(snapshot, now);
    let glance = Glance::of(snapshot, now);
    let title = match glance.keys.overdue {
        _ if health.data_time.is_none() => "No data yet".to_owned(),
        0 => "No overdue keys".to_owned(),
        1 => "1 overdue key".to_owned(),
        count => format!("{count} overdue keys"),
    };
    let content = html! {
        h1 { "Access keys" }
        (overview::health(&health, snapshot))
        @if health.data_time.is_some() {
            (overview::glance(&glance, snapshot))
            (table::worklist(&select(snapshot, query, now), query, snapshot, now))
            (overview::exemptions(&glance, snapshot, now))
        }
        (accounts::accounts(&health))
    };
    frame.page(&title, &content)
}

fn mistake(frame: &Frame<'_>, bad: &BadParameter) -> Markup {
    let content = html! {
        h1 { "This can’t be shown" }
        div.notices {
            p.notice.bad role="alert" {
                "The parameter " code { (shown(&bad.name)) } " " (shown(&bad.problem)) "."
            }
        }
        p { "Allowed: " (shown(&bad.allowed)) "." }
        p { a href="./" { "Show all keys" } }
    };
    frame.page("A parameter can’t be used", &content)
}
