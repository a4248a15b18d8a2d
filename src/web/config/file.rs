//! What the file looks like: exporter-toolkit's format, and nothing but it.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;

use crate::yaml::Spanned;

/// The whole file. A section that is absent or empty is as if it weren't there.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct File {
    pub(super) tls_server_config: Option<TlsSection>,
    pub(super) http_server_config: Option<HttpSection>,
    pub(super) basic_auth_users: Option<BTreeMap<String, Spanned<Secret>>>,
    pub(super) rate_limit: Option<RateLimitSection>,
}

/// Who the server is, who its clients may be, and how they talk.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct TlsSection {
    pub(super) cert: Option<Spanned<String>>,
    pub(super) cert_file: Option<Spanned<String>>,
    pub(super) key: Option<Spanned<Secret>>,
    pub(super) key_file: Option<Spanned<String>>,
    pub(super) client_ca: Option<Spanned<String>>,
    pub(super) client_ca_file: Option<Spanned<String>>,
    pub(super) client_auth_type: Option<Spanned<String>>,
    pub(super) client_allowed_sans: Option<Vec<Spanned<String>>>,
    pub(super) min_version: Option<Spanned<String>>,
    pub(super) max_version: Option<Spanned<String>>,
    pub(super) cipher_suites: Option<Vec<Spanned<String>>>,
    pub(super) curve_preferences: Option<Vec<Spanned<String>>>,
    pub(super) prefer_server_cipher_suites: Option<bool>,
}

impl TlsSection {
    /// Whether anything is said, so that TLS must be meant.
    pub(super) fn is_empty(&self) -> bool {
        let Self {
            cert,
            cert_file,
            key,
            key_file,
            client_ca,
            client_ca_file,
            client_auth_type,
            client_allowed_sans,
            min_version,
            max_version,
            cipher_suites,
            curve_preferences,
            prefer_server_cipher_suites,
        } = self;
        [
            cert,
            cert_file,
            key_file,
            client_ca,
            client_ca_file,
            client_auth_type,
            min_version,
            max_version,
        ]
        .iter()
        .all(|field| field.is_none())
            && key.is_none()
            && client_allowed_sans.is_none()
            && cipher_suites.is_none()
            && curve_preferences.is_none()
            && prefer_server_cipher_suites.is_none()
    }
}

/// How HTTP is spoken.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct HttpSection {
    pub(super) http2: Option<bool>,
    pub(super) headers: Option<BTreeMap<String, Spanned<String>>>,
}

/// How many requests are answered.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RateLimitSection {
    pub(super) interval: Option<Spanned<String>>,
    pub(super) burst: Option<Spanned<u32>>,
}

/// A text that is never shown.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub(super) struct Secret(String);

impl Secret {
    pub(super) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}
