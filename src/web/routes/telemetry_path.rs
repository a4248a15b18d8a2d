//! The path that serves the metrics.

use std::str::FromStr;

use super::is_taken;

/// The path that serves the metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TelemetryPath(String);

impl TelemetryPath {
    /// The path as it stands in a request.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Why a text is not a [`TelemetryPath`].
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseTelemetryPathError {
    /// It is empty or relative, or a browser would take it for a host.
    #[error("a telemetry path must start with a single /")]
    Start,
    /// It holds something that no request's path does.
    #[error(
        "a telemetry path has letters, digits and /-._~!$&'()*+,;=:@ only; percent-encode everything else"
    )]
    Character,
    /// Something else is there.
    #[error("this path serves a health check or the API; choose another")]
    Taken,
}

impl FromStr for TelemetryPath {
    type Err = ParseTelemetryPathError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if !text.starts_with('/') || text.starts_with("//") {
            return Err(ParseTelemetryPathError::Start);
        }
        if !is_path(text) {
            return Err(ParseTelemetryPathError::Character);
        }
        if is_taken(text) {
            return Err(ParseTelemetryPathError::Taken);
        }
        Ok(Self(text.to_owned()))
    }
}

/// Whether a client can ask for it: a path holds few characters besides letters and digits, and `%` begins an octet of
/// two digits (RFC 3986, 3.3).
fn is_path(text: &str) -> bool {
    let mut parts = text.split('%');
    let is_plain = |part: &str| {
        part.bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"/-._~!$&'()*+,;=:@".contains(&b))
    };
    let is_octet = |part: &str| {
        part.get(..2)
            .is_some_and(|octet| octet.bytes().all(|b| b.is_ascii_hexdigit()))
    };
    parts.next().is_none_or(is_plain) && parts.all(|part| is_octet(part) && is_plain(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn telemetry_paths() {
        use ParseTelemetryPathError::{Character, Start, Taken};
        for good in ["/", "/metrics", "/a/b-c_d~e/%C3%A4", "/!$&'()*+,;=:@"] {
            assert_eq!(good.parse::<TelemetryPath>().unwrap().as_str(), good);
        }
        let table = [
            ("", Start),
            ("metrics", Start),
            ("//host/metrics", Start),
            ("http://host/metrics", Start),
            ("/metrics?x=1", Character),
            ("/metrics#top", Character),
            ("/my metrics", Character),
            ("/metrics\n", Character),
            ("/mätrics", Character),
            ("/<script>", Character),
            ("/a\"b", Character),
            ("/100%", Character),
            ("/%4", Character),
            ("/%zz", Character),
            ("/-/ready", Taken),
            ("/-/reload", Taken),
            ("/healthz", Taken),
            ("/api/v1/keys", Taken),
        ];
        for (bad, expected) in table {
            assert_eq!(
                bad.parse::<TelemetryPath>().unwrap_err(),
                expected,
                "{bad:?}"
            );
        }
    }
}
