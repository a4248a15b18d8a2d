//! Results in files, each written whole or not at all.

use std::{
    ffi::OsString,
    fs::{self, File, Permissions},
    io::{self, BufWriter, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    str::FromStr,
};

use tempfile::NamedTempFile;

use super::{
    format::{Format, Layout},
    report::Report,
};
use crate::source::UsageError;

/// A file to write and the format to write it in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Export {
    format: Format,
    path: PathBuf,
}

/// The format that an ending of a file's name means; the longest that fits counts.
const ENDINGS: [(&str, Format); 11] = [
    (".asff.json", Format::Asff),
    (".ocsf.json", Format::Ocsf),
    (".json", Format::Json),
    (".junit.xml", Format::Junit),
    (".nunit3.xml", Format::Nunit3),
    (".csv", Format::Csv),
    (".html", Format::Html),
    (".htm", Format::Html),
    (".markdown", Format::Md),
    (".md", Format::Md),
    (".txt", Format::Plain),
];

impl FromStr for Export {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some((name, path)) = text.split_once(':')
            && let Some((_, format)) = Format::ALL.iter().find(|(other, _)| *other == name)
        {
            return match (format, path) {
                (Format::None, _) => Err("the format none writes nothing".into()),
                (_, "") => Err(format!("a file must follow {name}:")),
                (format, path) => Ok(Self {
                    format: *format,
                    path: path.into(),
                }),
            };
        }
        let lower = text.to_lowercase();
        ENDINGS
            .iter()
            .find(|(ending, _)| lower.ends_with(ending))
            .map(|(_, format)| Self {
                format: *format,
                path: text.into(),
            })
            .ok_or_else(|| {
                let formats = Format::ALL
                    .iter()
                    .filter(|(_, format)| *format != Format::None)
                    .map(|(name, _)| *name)
                    .collect::<Vec<_>>()
                    .join(", ");
                format!(
                    "the name doesn't tell the format; put it before the name, e.g. \
                     junit:{text}, allowed are {formats}"
                )
            })
    }
}

/// Why a file could not be written.
#[derive(Debug, thiserror::Error)]
#[error("\"{}\" could not be written", .path.to_string_lossy().escape_debug())]
pub struct ExportError {
    path: PathBuf,
    #[source]
    source: io::Error,
}

impl Export {
    /// Makes sure that the file can be written, before anything is read that took an effort. A
    /// link is followed, so that what it points to is replaced and not the link.
    pub fn prepared(self) -> Result<Self, UsageError> {
        let error = |why: &dyn std::fmt::Display| {
            UsageError(format!(
                "--export: \"{}\": {why}",
                self.path.to_string_lossy().escape_debug()
            ))
        };
        let path = match fs::metadata(&self.path) {
            Ok(there) if there.is_dir() => return Err(error(&"it is a directory")),
            Ok(there) if !there.is_file() => return Err(error(&"it is not a regular file")),
            Ok(_) => fs::canonicalize(&self.path).map_err(|why| error(&why))?,
            Err(why) if why.kind() == io::ErrorKind::NotFound => self.path.clone(),
            Err(why) => return Err(error(&why)),
        };
        let prepared = Self {
            format: self.format,
            path,
        };
        // Gone again at once: it must not be left behind when somebody interrupts the reading.
        prepared
            .temporary()
            .map_err(|why| match why.kind() {
                io::ErrorKind::NotFound => error(&"there is no such directory"),
                _ => error(&why),
            })
            .map(drop)?;
        Ok(prepared)
    }

    /// Writes the report beside the file and then puts it in its place, so that whoever reads the
    /// file sees the old report or the new one, whole.
    pub fn write(&self, report: &Report, layout: Layout) -> Result<(), ExportError> {
        self.replace(report, layout).map_err(|source| ExportError {
            path: self.path.clone(),
            source,
        })
    }

    fn replace(&self, report: &Report, layout: Layout) -> io::Result<()> {
        let layout = Layout {
            width: Layout::WIDTH_OF_FILES,
            ..layout.without_colour()
        };
        let mut file = self.temporary()?;
        let mut out = BufWriter::new(&mut file);
        self.format.write(report, layout, &mut out)?;
        out.flush()?;
        drop(out);
        file.as_file().sync_all()?;
        file.persist(&self.path).map_err(|error| error.error)?;
        // The new name must outlive a power failure as well.
        File::open(self.folder())?.sync_all()
    }

    fn temporary(&self) -> io::Result<NamedTempFile> {
        let mut prefix = OsString::from(".");
        prefix.push(self.path.file_name().unwrap_or_default());
        // What the umask leaves, as for any new file; those of an older file stay.
        let permissions = fs::metadata(&self.path).map_or_else(
            |_| Permissions::from_mode(0o666),
            |there| there.permissions(),
        );
        tempfile::Builder::new()
            .prefix(&prefix)
            .permissions(permissions)
            .tempfile_in(self.folder())
    }

    fn folder(&self) -> &Path {
        match self.path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_format_comes_from_the_name_or_stands_before_it() {
        for (text, format, path) in [
            ("out.csv", Format::Csv, "out.csv"),
            ("a/Report.HTML", Format::Html, "a/Report.HTML"),
            ("out.json", Format::Json, "out.json"),
            ("out.asff.json", Format::Asff, "out.asff.json"),
            ("out.ocsf.json", Format::Ocsf, "out.ocsf.json"),
            ("out.nunit3.xml", Format::Nunit3, "out.nunit3.xml"),
            ("out.txt", Format::Plain, "out.txt"),
            ("junit:results.xml", Format::Junit, "results.xml"),
            ("json:a:b", Format::Json, "a:b"),
            ("c:out.md", Format::Md, "c:out.md"),
        ] {
            let path = path.into();
            assert_eq!(text.parse(), Ok(Export { format, path }), "{text}");
        }
        for (text, told) in [
            ("out.xml", "junit:out.xml"),
            ("out", "doesn't tell the format"),
            ("csv:", "a file must follow"),
            ("none:out", "writes nothing"),
        ] {
            let error = text.parse::<Export>().unwrap_err();
            assert!(error.contains(told), "{error}");
        }
    }
}
