//! Which clients TLS lets in.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore,
    SignatureScheme,
};
use x509_parser::extensions::GeneralName;
use x509_parser::parse_x509_certificate;

use super::file::TlsSection;
use super::tls::{FIELD, Material};
use crate::yaml::{Spanned, YamlError};

/// Go's names for what is asked of a client.
const TYPES: [(&str, ClientAuth); 5] = [
    ("NoClientCert", ClientAuth::None),
    ("RequestClientCert", ClientAuth::Request),
    ("RequireAnyClientCert", ClientAuth::RequireAny),
    ("VerifyClientCertIfGiven", ClientAuth::VerifyIfGiven),
    ("RequireAndVerifyClientCert", ClientAuth::RequireAndVerify),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ClientAuth {
    /// No certificate is asked for.
    None,
    /// Any certificate is taken, and none is too.
    Request,
    /// Any certificate is taken, whoever signed it.
    RequireAny,
    /// One of the CA, or none.
    VerifyIfGiven,
    /// One of the CA.
    RequireAndVerify,
}

impl ClientAuth {
    fn is_mandatory(self) -> bool {
        matches!(self, Self::RequireAny | Self::RequireAndVerify)
    }
}

pub(super) fn check(
    section: &TlsSection,
    client_ca: Option<&Material>,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, YamlError> {
    let auth = auth_type(section.client_auth_type.as_ref())?;
    let sans = sans(section.client_allowed_sans.as_deref(), auth)?;
    let roots = client_ca.map(roots).transpose()?;
    let verifier: Arc<dyn ClientCertVerifier> = match (auth, client_ca.zip(roots)) {
        (ClientAuth::None, None) => return Ok(WebPkiClientVerifier::no_client_auth()),
        (ClientAuth::None, Some((ca, _))) => {
            return Err(ca.wrong(
                "a CA for clients is of no use without client_auth_type; \
                 allowed: VerifyClientCertIfGiven, RequireAndVerifyClientCert",
            ));
        }
        (ClientAuth::Request | ClientAuth::RequireAny, _) => Arc::new(AnyCertificate {
            mandatory: auth.is_mandatory(),
            provider: Arc::clone(provider),
        }),
        (ClientAuth::VerifyIfGiven | ClientAuth::RequireAndVerify, None) => {
            // Go would take any CA that the system trusts, which nobody means.
            return Err(YamlError::of(
                format!("{FIELD}.client_auth_type"),
                "client_ca or client_ca_file is missing, which says whose certificates to take",
            ));
        }
        (ClientAuth::VerifyIfGiven | ClientAuth::RequireAndVerify, Some((ca, roots))) => {
            let builder =
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
            let builder = if auth.is_mandatory() {
                builder
            } else {
                builder.allow_unauthenticated()
            };
            builder
                .build()
                .map_err(|error| ca.wrong(&error.to_string()))?
        }
    };
    Ok(match sans {
        None => verifier,
        Some(allowed) => Arc::new(AllowedSans { verifier, allowed }),
    })
}

/// What is asked of clients, for a section that passed the check.
pub(super) fn name(section: &TlsSection) -> &str {
    let asked = section.client_auth_type.as_ref();
    asked
        .map(|asked| asked.value.as_str())
        .filter(|name| !name.is_empty())
        .unwrap_or(TYPES[0].0)
}

fn auth_type(asked: Option<&Spanned<String>>) -> Result<ClientAuth, YamlError> {
    let Some(asked) = asked.filter(|asked| !asked.value.is_empty()) else {
        return Ok(ClientAuth::None);
    };
    // The toolkit's older name.
    let name = match asked.value.as_str() {
        "RequireClientCert" => "RequireAnyClientCert",
        name => name,
    };
    let found = TYPES.iter().find(|(known, _)| *known == name);
    found.map(|(_, auth)| *auth).ok_or_else(|| {
        let allowed = TYPES.map(|(name, _)| name).join(", ");
        YamlError::at(
            asked,
            format!("{FIELD}.client_auth_type"),
            format!("not a type of client authentication; allowed: {allowed}"),
        )
    })
}

fn roots(ca: &Material) -> Result<RootCertStore, YamlError> {
    let mut roots = RootCertStore::empty();
    for certificate in ca.certificates()? {
        roots
            .add(certificate)
            .map_err(|_| ca.wrong("a certificate in it cannot be used as a CA"))?;
    }
    Ok(roots)
}

/// A name that a certificate can have for its subject.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum San {
    Ip(IpAddr),
    /// A DNS name, an e-mail address or a URI.
    Text(String),
}

fn sans(
    asked: Option<&[Spanned<String>]>,
    auth: ClientAuth,
) -> Result<Option<BTreeSet<San>>, YamlError> {
    let Some(asked) = asked else {
        return Ok(None);
    };
    let field = format!("{FIELD}.client_allowed_sans");
    if !auth.is_mandatory() {
        return Err(YamlError::of(
            field,
            "without a certificate there is no name to compare; \
             client_auth_type must be RequireAndVerifyClientCert or RequireAnyClientCert",
        ));
    }
    if asked.is_empty() {
        return Err(YamlError::of(
            field,
            "an empty list would let nobody in; name somebody or leave it out",
        ));
    }
    let parse = |(at, san): (usize, &Spanned<String>)| {
        self::san(&san.value).ok_or_else(|| {
            YamlError::at(
                san,
                format!("{field}[{at}]"),
                "must be a DNS name, an IP address, an e-mail address or a URI",
            )
        })
    };
    asked
        .iter()
        .enumerate()
        .map(parse)
        .collect::<Result<_, _>>()
        .map(Some)
}

fn san(text: &str) -> Option<San> {
    if let Ok(ip) = text.parse() {
        return Some(San::Ip(ip));
    }
    let is_uri = text.split_once(':').is_some_and(|(scheme, rest)| {
        scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
            && !rest.is_empty()
    });
    let domain = text.rsplit_once('@').map_or(text, |(_, domain)| domain);
    let is_domain = domain.split('.').all(|label| {
        !label.is_empty()
            && label.len() <= 63
            && label
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '*'))
    });
    let is_printable = text.chars().all(|c| c.is_ascii_graphic());
    let has_mailbox = !text.starts_with('@');
    (is_printable && has_mailbox && (is_uri || is_domain)).then(|| San::Text(text.to_owned()))
}

/// Takes any certificate whose key the client has.
#[derive(Debug)]
struct AnyCertificate {
    mandatory: bool,
    provider: Arc<CryptoProvider>,
}

impl ClientCertVerifier for AnyCertificate {
    fn client_auth_mandatory(&self) -> bool {
        self.mandatory
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let algorithms = &self.provider.signature_verification_algorithms;
        algorithms.supported_schemes()
    }
}

/// Takes what another verifier takes, if it has one of the names too.
#[derive(Debug)]
struct AllowedSans {
    verifier: Arc<dyn ClientCertVerifier>,
    allowed: BTreeSet<San>,
}

impl AllowedSans {
    fn allows(&self, certificate: &CertificateDer<'_>) -> Option<bool> {
        let (_, certificate) = parse_x509_certificate(certificate).ok()?;
        let names = certificate.subject_alternative_name().ok()?;
        let names = names.map_or(&[][..], |names| &names.value.general_names);
        Some(names.iter().any(|name| {
            let name = match name {
                GeneralName::DNSName(text)
                | GeneralName::RFC822Name(text)
                | GeneralName::URI(text) => San::Text((*text).to_owned()),
                GeneralName::IPAddress(bytes) => match ip(bytes) {
                    Some(ip) => San::Ip(ip),
                    None => return false,
                },
                _ => return false,
            };
            self.allowed.contains(&name)
        }))
    }
}

fn ip(bytes: &[u8]) -> Option<IpAddr> {
    <[u8; 4]>::try_from(bytes)
        .map(IpAddr::from)
        .or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from))
        .ok()
}

impl ClientCertVerifier for AllowedSans {
    fn client_auth_mandatory(&self) -> bool {
        self.verifier.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.verifier.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self
            .verifier
            .verify_client_cert(end_entity, intermediates, now)?;
        let refused = match self.allows(end_entity) {
            Some(true) => return Ok(verified),
            Some(false) => CertificateError::ApplicationVerificationFailure,
            None => CertificateError::BadEncoding,
        };
        Err(refused.into())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_subjects() {
        for good in [
            "prometheus.example.org",
            "localhost",
            "*.example.org",
            "10.0.0.1",
            "2001:db8::1",
            "ops@example.org",
            "spiffe://example.org/ns/monitoring/sa/prometheus",
            "urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6",
        ] {
            assert!(san(good).is_some(), "{good}");
        }
        for bad in [
            "",
            " ",
            "two words",
            "a..b",
            ".a",
            "@example.org",
            "ops@",
            "ünicode",
            "a\nb",
            "bad_name!",
            "10.0.0.1/8",
        ] {
            assert_eq!(san(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn an_address_may_be_written_in_any_way() {
        assert_eq!(san("2001:db8::1"), san("2001:0db8:0:0::0001"));
        assert_eq!(san("10.0.0.1"), Some(San::Ip(ip(&[10, 0, 0, 1]).unwrap())));
    }
}
