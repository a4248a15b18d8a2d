//! The web configuration file: TLS, headers, users and the rate limit, in exporter-toolkit's format.

mod client_auth;
mod command;
mod file;
mod headers;
mod material;
mod names;
mod rate;
mod sans;
mod sources;
mod tls;
mod users;

use std::path::{Path, PathBuf};

use hyper::HeaderMap;

use crate::yaml::{self, FileError, YamlError};
pub use command::{CheckArgs, Command, check};
use file::File;
pub use rate::RateLimit;
use sources::Sources;
pub(super) use sources::digest;
pub use tls::Tls;
pub use users::Users;

/// What the file says, checked through.
#[derive(Clone, Debug)]
pub struct WebConfig {
    /// How TLS is spoken; without it, plain HTTP is.
    pub tls: Option<Tls>,
    /// Headers for every response that doesn't set them itself.
    pub headers: HeaderMap,
    /// Who may log in; if there is nobody, everybody is let in.
    pub users: Users,
    /// How many requests are answered; without it, all.
    pub rate_limit: Option<RateLimit>,
}

impl Default for WebConfig {
    /// What an empty file says.
    fn default() -> Self {
        Self {
            tls: None,
            headers: HeaderMap::new(),
            users: Users::default(),
            rate_limit: None,
        }
    }
}

/// What came of reading the file.
pub(super) struct Reading {
    /// All files that had to do with it, the file itself first, whether they could be read or not.
    pub(super) files: Vec<PathBuf>,
    /// Of what stood in them; see [`digest`].
    pub(super) digest: [u8; 32],
    pub(super) result: Result<WebConfig, FileError>,
}

/// Reads and checks the file and all that it names. It blocks.
pub(super) fn read(path: &Path) -> Reading {
    let mut sources = Sources::default();
    let result = read_with(path, &mut sources);
    let (files, digest) = sources.finish();
    Reading {
        files,
        digest,
        result,
    }
}

fn read_with(path: &Path, sources: &mut Sources) -> Result<WebConfig, FileError> {
    let bytes = sources.read(path).map_err(|source| FileError::Read {
        path: path.to_owned(),
        source,
    })?;
    let text = String::from_utf8(bytes).map_err(|_| FileError::NotText {
        path: path.to_owned(),
    })?;
    // An empty folder is the working directory, as with the file's own path.
    let folder = path.parent().unwrap_or_else(|| Path::new(""));
    yaml::parse(&text)
        .and_then(|file| checked(&file, folder, sources))
        .map_err(|error| FileError::Content {
            path: path.to_owned(),
            error,
        })
}

/// Checks the file as the daemon does when it starts: with all the files that it names.
///
/// # Errors
/// Says in one line what is wrong, where, and what is allowed. No secret is in it.
pub fn validate(path: &Path) -> Result<WebConfig, FileError> {
    read(path).result
}

fn checked(file: &File, folder: &Path, sources: &mut Sources) -> Result<WebConfig, YamlError> {
    let http = file.http_server_config.as_ref();
    let http2 = http.and_then(|http| http.http2).unwrap_or(true);
    let tls = match &file.tls_server_config {
        None => None,
        Some(section) => tls::check(section, http2, folder, sources)?,
    };
    let headers = http.and_then(|http| http.headers.as_ref());
    let users = file.basic_auth_users.as_ref();
    let rate_limit = file.rate_limit.as_ref();
    Ok(WebConfig {
        tls,
        headers: headers.map(headers::check).transpose()?.unwrap_or_default(),
        users: users.map(users::check).transpose()?.unwrap_or_default(),
        rate_limit: rate_limit.map(rate::check).transpose()?.flatten(),
    })
}

#[cfg(test)]
mod tests;
