//! What a browser may run and load of the page: its own style, its own script and its own icon.

use std::sync::LazyLock;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use hyper::header::HeaderValue;
use sha2::{Digest as _, Sha256};

pub(super) const STYLE: &str = include_str!("page.css");

/// Buttons that copy a command. Without it, or where the browser has no clipboard to offer, the command
/// can be selected like any text.
pub(super) const SCRIPT: &str = include_str!("copy.js");

/// A key, so that no browser asks for a picture that isn't there.
pub(super) const ICON: &str = "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 32 32'%3E\
    %3Cg fill='none' stroke='%232563eb' stroke-width='4'%3E%3Ccircle cx='10' cy='16' r='6'/%3E\
    %3Cpath d='M16 16h13v6M23 16v5'/%3E%3C/g%3E%3C/svg%3E";

static HEADER: LazyLock<HeaderValue> = LazyLock::new(|| {
    let policy = format!(
        "default-src 'none'; style-src {}; script-src {}; img-src data:; base-uri 'none'; form-action 'self'; \
         frame-ancestors 'none'",
        hash(STYLE),
        hash(SCRIPT)
    );
    HeaderValue::try_from(policy).expect("hashes in base64 are ASCII")
});

/// The value of `Content-Security-Policy`.
pub(super) fn header() -> HeaderValue {
    HEADER.clone()
}

/// Source: Content Security Policy Level 3, `hash-source`.
fn hash(text: &str) -> String {
    format!("'sha256-{}'", BASE64_STANDARD.encode(Sha256::digest(text)))
}
