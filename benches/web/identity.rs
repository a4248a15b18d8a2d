//! The certificate and the login that the servers have.

use std::{
    fs,
    path::{Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rcgen::{CertifiedKey, generate_simple_self_signed};

const USER: &str = "prometheus";
const PASSWORD: &str = "open sesame";

/// The cost that the documentation advises.
const COST: u32 = 10;

/// Files below a folder, which goes with it.
pub(crate) struct Identity {
    folder: tempfile::TempDir,
}

impl Identity {
    pub(crate) fn make() -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(["localhost".to_owned()])?;
        fs::write(folder.path().join("cert.pem"), cert.pem())?;
        fs::write(folder.path().join("key.pem"), signing_key.serialize_pem())?;
        let hash = bcrypt::hash(PASSWORD, COST)?;
        let config = format!(
            "tls_server_config:\n  cert_file: cert.pem\n  key_file: key.pem\n\
             basic_auth_users:\n  {USER}: {hash}\n"
        );
        fs::write(folder.path().join("web.yml"), config)?;
        Ok(Self { folder })
    }

    /// Where `cert.pem` and `key.pem` are.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A web configuration with the certificate and the login.
    pub(crate) fn config(&self) -> PathBuf {
        self.folder.path().join("web.yml")
    }

    /// The header that logs in.
    pub(crate) fn header() -> String {
        format!(
            "Authorization: Basic {}",
            STANDARD.encode(format!("{USER}:{PASSWORD}"))
        )
    }
}
