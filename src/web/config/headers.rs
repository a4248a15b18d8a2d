//! The headers that an operator may add to every response.

use std::collections::BTreeMap;

use hyper::HeaderMap;
use hyper::header::{
    CONTENT_SECURITY_POLICY, HeaderName, HeaderValue, STRICT_TRANSPORT_SECURITY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS, X_XSS_PROTECTION,
};

use crate::yaml::{Spanned, YamlError, cut};

const FIELD: &str = "http_server_config.headers";

/// The five that exporter-toolkit allows, spelled as there, with the values that each may have; none
/// means any.
const ALLOWED: [(&str, HeaderName, &[&str]); 5] = [
    ("Strict-Transport-Security", STRICT_TRANSPORT_SECURITY, &[]),
    (
        "X-Content-Type-Options",
        X_CONTENT_TYPE_OPTIONS,
        &["nosniff"],
    ),
    ("X-Frame-Options", X_FRAME_OPTIONS, &["deny", "sameorigin"]),
    ("X-XSS-Protection", X_XSS_PROTECTION, &[]),
    ("Content-Security-Policy", CONTENT_SECURITY_POLICY, &[]),
];

/// Checks the headers. An empty value leaves the header out.
pub(super) fn check(headers: &BTreeMap<String, Spanned<String>>) -> Result<HeaderMap, YamlError> {
    let mut checked = HeaderMap::new();
    for (name, value) in headers {
        let Some((name, header, values)) = ALLOWED
            .iter()
            .find(|(allowed, ..)| allowed.eq_ignore_ascii_case(name))
        else {
            let allowed = ALLOWED.map(|(name, ..)| name).join(", ");
            return Err(YamlError::at(
                value,
                format!("{FIELD}.{}", cut(name)),
                format!("this header cannot be set; allowed: {allowed}"),
            ));
        };
        let wrong = |why: String| YamlError::at(value, format!("{FIELD}.{name}"), why);
        let text = value.value.trim();
        if text.is_empty() {
            continue;
        }
        if !values.is_empty() && !values.contains(&text) {
            let allowed = values.join(", ");
            return Err(wrong(format!(
                "the value is not allowed; allowed: {allowed}"
            )));
        }
        let text = HeaderValue::from_str(text)
            .map_err(|_| wrong("the value has characters that no header may have".into()))?;
        if checked.insert(header.clone(), text).is_some() {
            return Err(wrong("the header is given twice".into()));
        }
    }
    Ok(checked)
}
