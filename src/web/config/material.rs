//! Certificates and keys in PEM form, from the web configuration itself or from files that it names.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use super::tls::FIELD;
use crate::yaml::{Spanned, YamlError};

/// The longest certificate or key file that is read, in bytes.
const MAX_FILE_BYTES: u64 = 4 * 1024 * 1024;

/// Where certificates and keys come from.
pub(super) struct Sources<'a> {
    pub(super) folder: &'a Path,
    /// All that were looked for.
    pub(super) files: &'a mut Vec<PathBuf>,
}

impl Sources<'_> {
    /// What `name` holds inline, or the file that `name_file` names; an empty text is as good as none.
    pub(super) fn material(
        &mut self,
        name: &str,
        inline: Option<&Spanned<String>>,
        file: Option<&Spanned<String>>,
    ) -> Result<Option<Material>, YamlError> {
        let given = |text: &&Spanned<String>| !text.value.trim().is_empty();
        let file = file.filter(given);
        let path = file.map(|file| self.folder.join(&file.value));
        self.files.extend(path.clone());
        match (inline.filter(given), file.zip(path)) {
            (None, None) => Ok(None),
            (Some(_), Some((file, _))) => Err(YamlError::at(
                file,
                format!("{FIELD}.{name}_file"),
                format!("{name} is given too; only one of the two is allowed"),
            )),
            (Some(inline), None) => Ok(Some(Material {
                field: format!("{FIELD}.{name}"),
                origin: inline.clone(),
                path: None,
                pem: inline.value.clone().into_bytes(),
            })),
            (None, Some((file, path))) => {
                let field = format!("{FIELD}.{name}_file");
                let pem = read(&path).map_err(|error| {
                    let path = path.display();
                    YamlError::at(file, &field, format!("{path} cannot be read: {error}"))
                })?;
                Ok(Some(Material {
                    field,
                    origin: file.clone(),
                    path: Some(path),
                    pem,
                }))
            }
        }
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?
        .take(MAX_FILE_BYTES + 1)
        .read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(io::Error::other(format!(
            "it is longer than {MAX_FILE_BYTES} bytes"
        )));
    }
    Ok(bytes)
}

/// PEM and where it comes from.
pub(super) struct Material {
    field: String,
    origin: Spanned<String>,
    path: Option<PathBuf>,
    pem: Vec<u8>,
}

impl Material {
    pub(super) fn pem(&self) -> &[u8] {
        &self.pem
    }

    /// The certificates in it, one at least.
    pub(super) fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, YamlError> {
        let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&self.pem).collect();
        match certificates {
            Ok(certificates) if certificates.is_empty() => {
                Err(self.wrong("there is no certificate in PEM form"))
            }
            Ok(certificates) => Ok(certificates),
            Err(_) => Err(self.wrong("the PEM is broken")),
        }
    }

    /// What is wrong with it. It says nothing of the content.
    pub(super) fn wrong(&self, why: &str) -> YamlError {
        let message = match &self.path {
            Some(path) => format!("{}: {why}", path.display()),
            None => why.to_owned(),
        };
        YamlError::at(&self.origin, &self.field, message)
    }

    pub(super) fn holds(&self, text: &str) -> bool {
        self.pem
            .windows(text.len())
            .any(|window| window == text.as_bytes())
    }
}
