//! Which names the certificates of clients must have.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};
use x509_parser::extensions::GeneralName;
use x509_parser::parse_x509_certificate;

use super::tls::FIELD;
use crate::yaml::{Spanned, YamlError};

/// A name that a certificate can have for its subject.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum San {
    Ip(IpAddr),
    /// A DNS name, an e-mail address or a URI.
    Text(String),
}

/// The names asked for, if any; clients without a certificate of a CA have none that counts.
pub(super) fn check(
    asked: Option<&[Spanned<String>]>,
    is_vouched_for: bool,
) -> Result<Option<BTreeSet<San>>, YamlError> {
    let Some(asked) = asked else {
        return Ok(None);
    };
    let field = format!("{FIELD}.client_allowed_sans");
    if !is_vouched_for {
        return Err(YamlError::of(
            field,
            "without a certificate of a CA, clients have no name or name themselves; \
             client_auth_type must be RequireAndVerifyClientCert",
        ));
    }
    if asked.is_empty() {
        return Err(YamlError::of(
            field,
            "an empty list would let nobody in; name somebody or leave it out",
        ));
    }
    let name = |(at, san): (usize, &Spanned<String>)| {
        parse(&san.value).ok_or_else(|| {
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
        .map(name)
        .collect::<Result<_, _>>()
        .map(Some)
}

fn parse(text: &str) -> Option<San> {
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

/// Takes what another verifier takes, if it has one of the names too.
#[derive(Debug)]
pub(super) struct AllowedSans {
    pub(super) verifier: Arc<dyn ClientCertVerifier>,
    pub(super) allowed: BTreeSet<San>,
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
            assert!(parse(good).is_some(), "{good}");
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
            assert_eq!(parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn an_address_may_be_written_in_any_way() {
        assert_eq!(parse("2001:db8::1"), parse("2001:0db8:0:0::0001"));
        assert_eq!(
            parse("10.0.0.1"),
            Some(San::Ip(ip(&[10, 0, 0, 1]).unwrap()))
        );
    }
}
