//! Reading the files of the web configuration, and what tells one reading of them from another.

use std::fs::OpenOptions;
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use sha2::{Digest as _, Sha256};

/// The longest file that is read, in bytes.
const MAX_BYTES: u64 = 4 * 1024 * 1024;

/// What was read.
#[derive(Default)]
pub(in crate::web) struct Sources {
    files: Vec<PathBuf>,
    digest: Sha256,
}

impl Sources {
    /// Reads a file, and notes it and what came of it.
    pub(super) fn read(&mut self, path: &Path) -> io::Result<Vec<u8>> {
        let result = read(path);
        self.files.push(path.to_owned());
        match &result {
            Ok(content) => {
                self.digest.update([1]);
                self.digest.update((content.len() as u64).to_be_bytes());
                self.digest.update(content);
            }
            Err(error) => {
                self.digest.update([0]);
                self.digest.update(error.to_string());
            }
        }
        result
    }

    /// The files in the order they were read, whether they could be or not, and a digest of what stood in them.
    pub(super) fn finish(self) -> (Vec<PathBuf>, [u8; 32]) {
        (self.files, self.digest.finalize().into())
    }
}

/// Of what stands in the files, and of which can't be read.
pub(in crate::web) fn digest(files: &[PathBuf]) -> [u8; 32] {
    let mut sources = Sources::default();
    for file in files {
        // An error is in the digest.
        let _ = sources.read(file);
    }
    sources.finish().1
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    // A pipe that nobody writes to would hold up the opening already.
    let without_waiting = OFlags::NONBLOCK.bits().cast_signed();
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(without_waiting)
        .open(path)?;
    let metadata = file.metadata()?;
    if metadata.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    if !metadata.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let mut bytes = Vec::new();
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(io::Error::other(format!(
            "it is longer than {MAX_BYTES} bytes"
        )));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::*;

    #[test]
    fn only_regular_files_of_bearable_length_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("file"), "text").unwrap();
        symlink("file", path("link")).unwrap();
        symlink("/dev/zero", path("zeros")).unwrap();
        mknodat(CWD, path("pipe"), FileType::Fifo, Mode::RUSR, 0).unwrap();
        let long = usize::try_from(MAX_BYTES).unwrap();
        fs::write(path("longest"), vec![b'x'; long]).unwrap();
        fs::write(path("too_long"), vec![b'x'; long + 1]).unwrap();
        for (name, expected) in [
            ("file", Ok(4)),
            ("link", Ok(4)),
            ("longest", Ok(long)),
            ("too_long", Err("longer than")),
            ("pipe", Err("not a regular file")),
            ("zeros", Err("not a regular file")),
            (".", Err("is a directory")),
            ("nothing", Err("o such file")),
        ] {
            match (read(&path(name)), expected) {
                (Ok(bytes), Ok(length)) => assert_eq!(bytes.len(), length, "{name}"),
                (Err(error), Err(why)) => assert!(error.to_string().contains(why), "{error}"),
                (result, _) => panic!("{name}: {:?}", result.map(|bytes| bytes.len())),
            }
        }
    }

    #[test]
    fn the_digest_is_that_of_what_was_read() {
        let folder = tempfile::tempdir().unwrap();
        let files = [folder.path().join("a"), folder.path().join("b")];
        fs::write(&files[0], "text").unwrap();
        let mut sources = Sources::default();
        assert_eq!(sources.read(&files[0]).unwrap(), b"text");
        sources.read(&files[1]).unwrap_err();
        let (read, before) = sources.finish();
        assert_eq!(read, files);
        assert_eq!(digest(&files), before);
        fs::write(&files[1], "").unwrap();
        assert_ne!(digest(&files), before);
    }
}
