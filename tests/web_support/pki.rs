//! Certificates for tests, made on the spot: none is kept anywhere.

use std::fs;
use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, SanType};

/// A CA and its key.
pub(crate) struct Ca {
    params: CertificateParams,
    key: KeyPair,
    pub(crate) pem: String,
}

/// A certificate and its key, in PEM.
pub(crate) struct Identity {
    pub(crate) cert: String,
    pub(crate) key: String,
}

impl Ca {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { params, key, pem }
    }

    /// A certificate for the names.
    pub(crate) fn issue(&self, names: &[SanType]) -> Identity {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.subject_alt_names = names.to_vec();
        let key = KeyPair::generate().unwrap();
        let issuer = Issuer::from_params(&self.params, &self.key);
        let cert = params.signed_by(&key, &issuer).unwrap().pem();
        Identity {
            cert,
            key: key.serialize_pem(),
        }
    }
}

/// The names of a server on the loopback.
pub(crate) fn loopback() -> [SanType; 2] {
    [
        SanType::IpAddress("127.0.0.1".parse().unwrap()),
        SanType::DnsName("localhost".try_into().unwrap()),
    ]
}

impl Identity {
    /// Writes `NAMEcert.pem` and `NAMEkey.pem`, each at once for whoever reads it.
    pub(crate) fn write(&self, folder: &Path, name: &str) {
        for (file, text) in [("cert", &self.cert), ("key", &self.key)] {
            replace(&folder.join(format!("{name}{file}.pem")), text);
        }
    }
}

/// Replaces a file as careful operators do: in one step.
pub(crate) fn replace(path: &Path, text: &str) {
    let new = path.with_extension("new");
    fs::write(&new, text).unwrap();
    fs::rename(&new, path).unwrap();
}
