//! Certificates and keys in PEM form, from the web configuration itself or from files that it names.

use std::path::{Path, PathBuf};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use super::sources::Sources;
use super::tls::FIELD;
use crate::yaml::{Spanned, YamlError};

/// The longest path that Linux follows, in bytes.
const MAX_PATH_BYTES: usize = 4096;

/// Where certificates and keys come from.
pub(super) struct Materials<'a> {
    pub(super) folder: &'a Path,
    pub(super) sources: &'a mut Sources,
}

impl Materials<'_> {
    /// What `name` holds inline, or the file that `name_file` names; an empty text is as good as none.
    pub(super) fn material(
        &mut self,
        name: &str,
        inline: Option<&Spanned<String>>,
        file: Option<&Spanned<String>>,
    ) -> Result<Option<Material>, YamlError> {
        let given = |text: &&Spanned<String>| !text.value.trim().is_empty();
        let file = file.filter(given);
        if let Some(file) = file.filter(|file| is_no_path(&file.value)) {
            return Err(YamlError::at(
                file,
                format!("{FIELD}.{name}_file"),
                format!("must be a path; it looks like PEM, which belongs into {name}"),
            ));
        }
        // It is read even if it can't be used, so that a change to it is seen.
        let read = file.map(|file| {
            let path = self.folder.join(&file.value);
            let content = self.sources.read(&path);
            (path, content)
        });
        match (inline.filter(given), file.zip(read)) {
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
            (None, Some((file, (path, content)))) => {
                let field = format!("{FIELD}.{name}_file");
                let pem = content.map_err(|error| {
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

/// Whether it is the content of a file in the place of its path. It may be a key, so it is never shown.
fn is_no_path(text: &str) -> bool {
    text.len() >= MAX_PATH_BYTES || text.contains("-----BEGIN") || text.contains(['\n', '\r'])
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
