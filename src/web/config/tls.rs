//! How TLS is spoken: from the file's words to what `rustls` takes.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::{Error as PemError, PemObject as _};
use rustls::server::NoServerSessionStorage;
use rustls::sign::CertifiedKey;
use rustls::{
    InconsistentKeys, ProtocolVersion, ServerConfig, SignatureAlgorithm, SupportedCipherSuite,
    SupportedProtocolVersion,
};

use super::client_auth;
use super::file::TlsSection;
use super::material::{Material, Materials};
use super::names;
use super::sources::Sources;
use crate::yaml::{Spanned, YamlError};

pub(super) const FIELD: &str = "tls_server_config";

/// What a TLS server needs to know, but for the protocols on top of it.
#[derive(Clone)]
pub struct Tls {
    config: Arc<ServerConfig>,
    summary: String,
}

impl Tls {
    pub(in crate::web) fn server_config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.config)
    }

    /// What is spoken, and who may, in a few words.
    pub(super) fn summary(&self) -> &str {
        &self.summary
    }
}

/// Where a private key is isn't shown.
impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls")
    }
}

/// Checks the section. Files are looked for in `folder`.
pub(super) fn check(
    section: &TlsSection,
    http2: bool,
    folder: &Path,
    sources: &mut Sources,
) -> Result<Option<Tls>, YamlError> {
    if section.is_empty() {
        return Ok(None);
    }
    let mut sources = Materials { folder, sources };
    // All files are read before the first error, so that a change to any of them is seen.
    let certificate = sources.material("cert", section.cert.as_ref(), section.cert_file.as_ref());
    let key_text = section.key.as_ref().map(|key| Spanned {
        value: key.value.reveal().to_owned(),
        referenced: key.referenced,
        defined: key.defined,
    });
    let key = sources.material("key", key_text.as_ref(), section.key_file.as_ref());
    let client_ca = sources.material(
        "client_ca",
        section.client_ca.as_ref(),
        section.client_ca_file.as_ref(),
    );

    let provider = Arc::new(provider(section)?);
    let versions = versions(section, &provider)?;
    let client_auth = client_auth::check(section, client_ca?.as_ref(), &provider)?;
    let certified = certified(certificate?, key?, &provider)?;
    let versions = usable(&versions, &provider, certified.key.algorithm())?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&versions)
        .map_err(|error| YamlError::of(FIELD, error))?
        .with_client_cert_verifier(client_auth)
        .with_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(certified)));
    config.ignore_client_order = section.prefer_server_cipher_suites.unwrap_or(true);
    // A resumed session skips the client's certificate, and scrapers keep their connections anyway.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.alpn_protocols = if http2 {
        vec![b"h2".to_vec(), b"http/1.1".to_vec()]
    } else {
        vec![b"http/1.1".to_vec()]
    };
    let versions: Vec<_> = versions
        .iter()
        .filter_map(|version| version.version.as_str())
        .map(|name| name.replace('_', "."))
        .collect();
    Ok(Some(Tls {
        config: Arc::new(config),
        summary: format!(
            "{}; {}; {}",
            versions.join(", "),
            if http2 {
                "HTTP/2 and HTTP/1.1"
            } else {
                "HTTP/1.1"
            },
            client_auth::name(section),
        ),
    }))
}

/// The cipher suites and curves asked for, or all.
fn provider(section: &TlsSection) -> Result<CryptoProvider, YamlError> {
    let mut provider = aws_lc_rs::default_provider();
    provider.cipher_suites = suites(section)?;
    provider.kx_groups = names::CURVES.map(|(_, curve)| curve).to_vec();
    if let Some(asked) = &section.curve_preferences
        && !asked.is_empty()
    {
        provider.kx_groups = named("curve_preferences", asked, names::curve)?;
    }
    Ok(provider)
}

fn suites(section: &TlsSection) -> Result<Vec<SupportedCipherSuite>, YamlError> {
    let all = names::SUITES.map(|(_, suite)| suite);
    let asked = match &section.cipher_suites {
        Some(asked) if !asked.is_empty() => named("cipher_suites", asked, names::suite)?,
        _ => return Ok(all.to_vec()),
    };
    // As with Go, a list that names none of TLS 1.3 says nothing about TLS 1.3.
    let of_newest = |suite: &SupportedCipherSuite| suite.tls13().is_some();
    if asked.iter().any(of_newest) {
        return Ok(asked);
    }
    Ok(all.into_iter().filter(of_newest).chain(asked).collect())
}

fn named<T>(
    field: &str,
    names: &[Spanned<String>],
    lookup: impl Fn(&str) -> Result<T, String>,
) -> Result<Vec<T>, YamlError> {
    let look = |(at, name): (usize, &Spanned<String>)| {
        lookup(&name.value)
            .map_err(|why| YamlError::at(name, format!("{FIELD}.{field}[{at}]"), why))
    };
    names.iter().enumerate().map(look).collect()
}

/// The versions between the two bounds, save those for which no cipher suite is left.
fn versions(
    section: &TlsSection,
    provider: &CryptoProvider,
) -> Result<Vec<&'static SupportedProtocolVersion>, YamlError> {
    let bound = |field: &str, asked: Option<&Spanned<String>>, default: usize| match asked {
        None => Ok(default),
        Some(asked) => names::version(&asked.value)
            .map_err(|why| YamlError::at(asked, format!("{FIELD}.{field}"), why)),
    };
    let newest = names::VERSIONS.len() - 1;
    let least = bound("min_version", section.min_version.as_ref(), 0)?;
    let most = bound("max_version", section.max_version.as_ref(), newest)?;
    if least > most {
        return Err(YamlError::of(
            format!("{FIELD}.min_version"),
            "min_version is above max_version",
        ));
    }
    let versions: Vec<_> = names::VERSIONS[least..=most]
        .iter()
        .map(|(_, version)| *version)
        .filter(|version| {
            let usable = |suite: &SupportedCipherSuite| suite.version().version == version.version;
            provider.cipher_suites.iter().any(usable)
        })
        .collect();
    if versions.is_empty() {
        return Err(YamlError::of(
            format!("{FIELD}.cipher_suites"),
            "no cipher suite is left for the versions of TLS from min_version to max_version",
        ));
    }
    Ok(versions)
}

/// Those of the versions that some client can agree on with the kind of key that the certificate has: TLS 1.2 has
/// cipher suites for each kind, and not all curves are for it.
fn usable(
    versions: &[&'static SupportedProtocolVersion],
    provider: &CryptoProvider,
    key: SignatureAlgorithm,
) -> Result<Vec<&'static SupportedProtocolVersion>, YamlError> {
    let has_suite = |version: ProtocolVersion| {
        provider.cipher_suites.iter().any(|suite| {
            suite.version().version == version && suite.usable_for_signature_algorithm(key)
        })
    };
    let has_curve = |version| {
        let mut curves = provider.kx_groups.iter();
        curves.any(|curve| curve.usable_for_version(version))
    };
    let usable = |fits: &dyn Fn(ProtocolVersion) -> bool| -> Vec<_> {
        let versions = versions.iter().copied();
        versions.filter(|version| fits(version.version)).collect()
    };
    if usable(&has_suite).is_empty() {
        return Err(YamlError::of(
            format!("{FIELD}.cipher_suites"),
            "none of them is for the kind of key that the certificate has; TLS 1.2 has ECDHE_RSA \
             for RSA, and ECDHE_ECDSA for ECDSA and Ed25519",
        ));
    }
    let usable = usable(&|version| has_suite(version) && has_curve(version));
    if usable.is_empty() {
        return Err(YamlError::of(
            format!("{FIELD}.curve_preferences"),
            "no curve is left for the versions of TLS from min_version to max_version; \
             X25519MLKEM768 needs TLS13",
        ));
    }
    Ok(usable)
}

fn certified(
    certificate: Option<Material>,
    key: Option<Material>,
    provider: &CryptoProvider,
) -> Result<CertifiedKey, YamlError> {
    let missing = |what: &str| YamlError::of(FIELD, format!("{what} or {what}_file is missing"));
    let certificate = certificate.ok_or_else(|| missing("cert"))?;
    let key = key.ok_or_else(|| missing("key"))?;
    let chain = certificate.certificates()?;
    let private = PrivateKeyDer::from_pem_slice(key.pem()).map_err(|error| {
        let encrypted = key.holds("ENCRYPTED PRIVATE KEY") || key.holds("Proc-Type: 4,ENCRYPTED");
        key.wrong(if encrypted {
            "the private key is encrypted, which is not supported; store it decrypted"
        } else if matches!(error, PemError::NoItemsFound) {
            "there is no private key in PEM form"
        } else {
            "the PEM is broken"
        })
    })?;
    let private = provider
        .key_provider
        .load_private_key(private)
        .map_err(|_| key.wrong("the private key cannot be used; RSA, ECDSA and Ed25519 can"))?;
    let certified = CertifiedKey::new(chain, private);
    match certified.keys_match() {
        // A key that can't say its public half can't be compared.
        Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(certified),
        Err(rustls::Error::InconsistentKeys(_)) => {
            Err(key.wrong("the private key does not belong to the certificate"))
        }
        Err(_) => Err(certificate.wrong("the first certificate cannot be understood")),
    }
}
