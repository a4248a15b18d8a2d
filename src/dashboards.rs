//! The Grafana dashboards that the binary carries, written where Grafana's provisioning looks for them.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// Where the dashboards go.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
pub struct Args {
    /// Directory to write to; made if it is not there
    #[arg(value_name = "DIR")]
    pub directory: PathBuf,
}

/// The dashboards of `grafana/dashboards`, each with its file's name.
pub const DASHBOARDS: [(&str, &str); 3] = [
    (
        "exporter.json",
        include_str!("../grafana/dashboards/exporter.json"),
    ),
    (
        "overview.json",
        include_str!("../grafana/dashboards/overview.json"),
    ),
    (
        "worklist.json",
        include_str!("../grafana/dashboards/worklist.json"),
    ),
];

/// A file that could not be written.
#[derive(Debug, thiserror::Error)]
#[error("{} could not be written", path.display())]
pub struct WriteError {
    path: PathBuf,
    source: io::Error,
}

/// Writes `dashboards`, pairs of a file's name and its JSON, into `directory`, which is made if it isn't there, and
/// returns their paths. A file of the same name is replaced, so that the command can be run again after an update; no
/// other file is touched.
pub fn write(directory: &Path, dashboards: &[(&str, &str)]) -> Result<Vec<PathBuf>, WriteError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| WriteError { path, source }
    };
    fs::create_dir_all(directory).map_err(failed(directory))?;
    dashboards
        .iter()
        .map(|(name, json)| {
            let path = directory.join(name);
            fs::write(&path, json).map_err(failed(&path))?;
            Ok(path)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: [(&str, &str); 2] = [("a.json", "{}"), ("b.json", "[]")];

    #[test]
    fn the_files_are_written_into_a_new_directory_and_over_older_ones() {
        let parent = tempfile::tempdir().unwrap();
        let directory = parent.path().join("grafana/dashboards");
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join("a.json"), "older, and longer").unwrap();
        fs::write(directory.join("mine.json"), "mine").unwrap();

        let written = write(&directory, &TWO).unwrap();

        assert_eq!(
            written,
            [directory.join("a.json"), directory.join("b.json")]
        );
        let read = |name| fs::read_to_string(directory.join(name)).unwrap();
        assert_eq!(read("a.json"), "{}");
        assert_eq!(read("b.json"), "[]");
        assert_eq!(read("mine.json"), "mine");
    }

    #[test]
    fn the_binary_carries_every_dashboard_of_the_repository() {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("grafana/dashboards");
        let mut files: Vec<_> = fs::read_dir(directory)
            .unwrap()
            .map(|file| file.unwrap().path())
            .collect();
        files.sort();
        let there: Vec<_> = files
            .iter()
            .map(|path| {
                let name = path.file_name().unwrap().to_str().unwrap();
                (name, fs::read_to_string(path).unwrap())
            })
            .collect();
        let carried = DASHBOARDS.map(|(name, json)| (name, json.to_owned()));
        assert_eq!(there, carried);
    }

    #[test]
    fn a_file_that_cannot_be_replaced_is_named() {
        let parent = tempfile::tempdir().unwrap();
        fs::create_dir(parent.path().join("b.json")).unwrap();
        let error = write(parent.path(), &TWO).unwrap_err();
        assert!(
            error.to_string().contains("b.json could not be written"),
            "{error}"
        );
    }

    #[test]
    fn a_directory_that_cannot_be_made_is_named() {
        let parent = tempfile::tempdir().unwrap();
        let file = parent.path().join("file");
        fs::write(&file, "").unwrap();
        let error = write(&file.join("below"), &TWO).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("file/below could not be written"),
            "{error}"
        );
        assert!(std::error::Error::source(&error).is_some());
    }
}
