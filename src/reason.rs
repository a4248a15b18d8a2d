//! Why something could not be read: the closed list that failures are counted by.

use std::fmt;

/// The cause of a failed refresh, request or read, as a metric label.
///
/// The list is closed so that every counter can start at zero and `rate()` sees the first failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// AWS refused the call for want of a permission.
    AccessDenied,
    /// No credentials were found, or AWS doesn't know them.
    Credentials,
    /// The session token has expired.
    ExpiredToken,
    /// AWS answered that calls come too fast.
    Throttled,
    /// No answer within the time allowed.
    Timeout,
    /// No connection: name resolution, refused, reset, cut short.
    Network,
    /// The TLS handshake failed, for example on an untrusted certificate.
    Tls,
    /// AWS answered with a fault of its own (5xx).
    ServerError,
    /// An answer that could not be understood, or a value never heard of.
    MalformedResponse,
    /// AWS didn't give a credential report in time.
    ReportUnavailable,
    /// A file could not be read or parsed.
    File,
    /// Anything else.
    Other,
}

impl Reason {
    /// Every reason, in the order of the documentation.
    pub const ALL: [Self; 12] = [
        Self::AccessDenied,
        Self::Credentials,
        Self::ExpiredToken,
        Self::Throttled,
        Self::Timeout,
        Self::Network,
        Self::Tls,
        Self::ServerError,
        Self::MalformedResponse,
        Self::ReportUnavailable,
        Self::File,
        Self::Other,
    ];

    /// The label value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AccessDenied => "access_denied",
            Self::Credentials => "credentials",
            Self::ExpiredToken => "expired_token",
            Self::Throttled => "throttled",
            Self::Timeout => "timeout",
            Self::Network => "network",
            Self::Tls => "tls",
            Self::ServerError => "server_error",
            Self::MalformedResponse => "malformed_response",
            Self::ReportUnavailable => "report_unavailable",
            Self::File => "file",
            Self::Other => "other",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
