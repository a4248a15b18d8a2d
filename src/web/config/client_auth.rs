//! Which clients TLS lets in.

use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme};

use super::file::TlsSection;
use super::material::Material;
use super::sans::{self, AllowedSans};
use super::tls::FIELD;
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
    // Whoever makes a certificate for himself puts any name into it.
    let is_vouched_for = auth == ClientAuth::RequireAndVerify;
    let sans = sans::check(section.client_allowed_sans.as_deref(), is_vouched_for)?;
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
