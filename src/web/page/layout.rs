//! What all pages share.

use chrono::{DateTime, Utc};
use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::{
    policy::{ICON, SCRIPT, STYLE},
    words::moment,
};
use crate::{html::shown, metrics::exporter::VERSION, web::api};

const NAME: &str = env!("CARGO_PKG_NAME");

/// Where the documentation is.
const DOCS: &str = "https://github.com/iam-key-exporter/iam-key-exporter/tree/main/docs";

/// The frame around a page.
pub(super) struct Frame<'a> {
    pub(super) telemetry_path: &'a str,
    pub(super) now: DateTime<Utc>,
}

impl Frame<'_> {
    /// A whole page.
    pub(super) fn page(&self, title: &str, content: &Markup) -> Markup {
        html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    meta name="robots" content="noindex";
                    title { (title) " – " (NAME) }
                    link rel="icon" href=(ICON);
                    style { (PreEscaped(STYLE)) }
                }
                body {
                    a.skip href="#main" { "Skip to the content" }
                    (self.header())
                    main #main tabindex="-1" { (content) }
                    (self.footer())
                    script { (PreEscaped(SCRIPT)) }
                }
            }
        }
    }

    // Links are relative, so that the page also works below a path of a proxy.
    fn header(&self) -> Markup {
        html! {
            header.site {
                p.brand {
                    a href="./" { (NAME) }
                    " " span.version { (VERSION) }
                }
                nav aria-label="Endpoints" {
                    ul {
                        li { a href={ "." (shown(self.telemetry_path)) } { "Metrics" } }
                        li { a href="./-/healthy" { "Health" } }
                        li { a href="./-/ready" { "Readiness" } }
                        li { a href={ "." (api::STATUS) } { "API: status" } }
                        li { a href={ "." (api::KEYS) } { "API: keys" } }
                        li { a href=(DOCS) { "Documentation" } }
                    }
                }
            }
        }
    }

    fn footer(&self) -> Markup {
        html! {
            footer {
                p {
                    "As of " (moment(self.now)) ". This exporter only reads: it never changes anything in AWS. Commands \
                    are for you to run."
                }
            }
        }
    }
}
