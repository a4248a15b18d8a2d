//! Names of versions, cipher suites and curves: Go's, as exporter-toolkit uses them.

use rustls::crypto::SupportedKxGroup;
use rustls::crypto::aws_lc_rs::{cipher_suite as suites, kx_group as groups};
use rustls::version::{TLS12, TLS13};
use rustls::{SupportedCipherSuite, SupportedProtocolVersion};

/// The versions from the oldest to the newest.
pub(super) const VERSIONS: [(&str, &SupportedProtocolVersion); 2] =
    [("TLS12", &TLS12), ("TLS13", &TLS13)];

/// The suites of TLS 1.3, then those of TLS 1.2, the best first.
pub(super) const SUITES: [(&str, SupportedCipherSuite); 9] = [
    ("TLS_AES_256_GCM_SHA384", suites::TLS13_AES_256_GCM_SHA384),
    ("TLS_AES_128_GCM_SHA256", suites::TLS13_AES_128_GCM_SHA256),
    (
        "TLS_CHACHA20_POLY1305_SHA256",
        suites::TLS13_CHACHA20_POLY1305_SHA256,
    ),
    (
        "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
        suites::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    ),
    (
        "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
        suites::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    ),
    (
        "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
        suites::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    ),
    (
        "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
        suites::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
    ),
    (
        "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
        suites::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    ),
    (
        "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
        suites::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
    ),
];

/// The curves in the order that is used if none is asked for.
pub(super) const CURVES: [(&str, &dyn SupportedKxGroup); 4] = [
    ("X25519MLKEM768", groups::X25519MLKEM768),
    ("X25519", groups::X25519),
    ("CurveP256", groups::SECP256R1),
    ("CurveP384", groups::SECP384R1),
];

pub(super) fn version(name: &str) -> Result<usize, String> {
    find(&VERSIONS, name).ok_or_else(|| match name {
        "TLS10" | "TLS11" => {
            format!("{name} is broken and not supported; {}", allowed(&VERSIONS))
        }
        _ => format!("not a version of TLS; {}", allowed(&VERSIONS)),
    })
}

pub(super) fn suite(name: &str) -> Result<SupportedCipherSuite, String> {
    let found = find(&SUITES, name).map(|at| SUITES[at].1);
    // Go's pre-1.14 names of the two, which it still documents.
    let renamed = || find(&SUITES, &format!("{name}_SHA256")).map(|at| SUITES[at].1);
    found.or_else(renamed).ok_or_else(|| {
        let why = if name.contains("_CBC_") {
            "cipher suites with CBC are not supported, for they have been broken again and again"
        } else if name.starts_with("TLS_RSA_") {
            "cipher suites with RSA key exchange are not supported, for they have no forward secrecy"
        } else if name.contains("_RC4_") || name.contains("_3DES_") {
            "cipher suites with RC4 or 3DES are broken and not supported"
        } else {
            "not a cipher suite"
        };
        format!("{why}; {}", allowed(&SUITES))
    })
}

pub(super) fn curve(name: &str) -> Result<&'static dyn SupportedKxGroup, String> {
    find(&CURVES, name).map(|at| CURVES[at].1).ok_or_else(|| {
        let why = match name {
            "CurveP521" => "CurveP521 is not supported",
            _ => "not a curve",
        };
        format!("{why}; {}", allowed(&CURVES))
    })
}

fn find<T>(table: &[(&str, T)], name: &str) -> Option<usize> {
    table.iter().position(|(known, _)| *known == name)
}

fn allowed<T>(table: &[(&str, T)]) -> String {
    let names: Vec<_> = table.iter().map(|(name, _)| *name).collect();
    format!("allowed: {}", names.join(", "))
}
