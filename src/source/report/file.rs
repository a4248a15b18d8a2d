//! The report in a file or on standard input, for offline audits.

use std::{
    fmt,
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use chrono::{DateTime, Utc};
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    sync::Mutex as AsyncMutex,
    time::Instant,
};
use tracing::warn;

use super::{Report, parse};
use crate::{
    inventory::{Account, Inventory, Listing},
    key::{AccountId, ArnOwner},
    reason::Reason,
    source::{Outcome, SourceError},
};

/// The most that is read of a report: AWS's own quota of 5 000 users comes to about 2 MB.
pub const MAX_BYTES: u64 = 256 << 20;

/// A credential report from outside, read again at each refresh.
pub struct ReportFile {
    input: Input,
    max_bytes: u64,
    last: Mutex<Last>,
}

enum Input {
    File(PathBuf),
    Stream(AsyncMutex<Stream>),
}

/// A stream can be read only once, so what came is kept. It lives between calls, so that one that is
/// given up half-way loses nothing.
struct Stream {
    reader: Option<Box<dyn AsyncRead + Send + Unpin>>,
    bytes: Vec<u8>,
    content: Option<Content>,
}

/// What was read, and how old it is.
#[derive(Clone)]
struct Content {
    report: Arc<Result<Report, SourceError>>,
    time: DateTime<Utc>,
}

#[derive(Default)]
struct Last {
    /// Whose report it was: a later failure is counted under it.
    account: Option<AccountId>,
    /// The defects spoken of, so that each is logged once and not at every refresh.
    warning: Option<String>,
}

impl ReportFile {
    /// The report at `path`; `-` is standard input, which is read once and then served from memory.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        if path == Path::new("-") {
            Self::stream(tokio::io::stdin())
        } else {
            Self::with_input(Input::File(path))
        }
    }

    fn stream(reader: impl AsyncRead + Send + Unpin + 'static) -> Self {
        Self::with_input(Input::Stream(AsyncMutex::new(Stream {
            reader: Some(Box::new(reader)),
            bytes: Vec::new(),
            content: None,
        })))
    }

    fn with_input(input: Input) -> Self {
        Self {
            input,
            max_bytes: MAX_BYTES,
            last: Mutex::default(),
        }
    }

    /// Reads the report and gives the one account that is in it.
    ///
    /// The truth is as old as the file's modification time, which is believed up to `now`; that of
    /// standard input as old as the `now` at which it was read.
    /// What isn't read by `deadline` is a failure.
    pub async fn collect(&self, now: DateTime<Utc>, deadline: Instant) -> Vec<Outcome> {
        let begun = Instant::now();
        let result = match tokio::time::timeout_at(deadline, self.inventory(now)).await {
            Ok(result) => result,
            Err(_) => Err(SourceError {
                reason: Reason::Timeout,
                message: format!(
                    "{self}: not read before the refresh ran out of time (--refresh.timeout)"
                ),
            }),
        };
        vec![self.outcome(result, begun.elapsed())]
    }

    fn outcome(&self, result: Result<Inventory, SourceError>, duration: Duration) -> Outcome {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Ok(inventory) = &result {
            last.account = Some(inventory.account.id);
        }
        Outcome {
            account: last.account,
            result,
            duration,
            remarks: Vec::new(),
        }
    }

    async fn inventory(&self, now: DateTime<Utc>) -> Result<Inventory, SourceError> {
        let content = match &self.input {
            Input::File(path) => self.read_file(path.clone(), now).await?,
            Input::Stream(stream) => stream.lock().await.read(self, now).await?,
        };
        let report = content.report.as_ref().as_ref().map_err(Clone::clone)?;
        let Some(owner) = &report.owner else {
            return Err(self.error("there is no row below the header, so the account can't be told; ask AWS for the report again"));
        };
        self.warn_of_defects(report);
        Ok(inventory(report, owner, content.time.min(now)))
    }

    async fn read_file(&self, path: PathBuf, now: DateTime<Utc>) -> Result<Content, SourceError> {
        let max_bytes = self.max_bytes;
        // Files have no asynchronous interface, and a large report takes a while to parse.
        let read = tokio::task::spawn_blocking(move || -> io::Result<_> {
            let (bytes, modified) = read_file(&path, max_bytes)?;
            let too_long = bytes.len() as u64 > max_bytes;
            Ok((too_long, parse(&bytes), modified))
        });
        match read.await {
            Ok(Ok((true, _, _))) => Err(self.too_long()),
            Ok(Ok((false, report, modified))) => Ok(Content {
                report: Arc::new(report.map_err(|error| self.error(error))),
                time: modified.unwrap_or(now),
            }),
            Ok(Err(error)) => Err(self.error(advice(&error))),
            Err(error) => Err(self.error(format!("reading it broke off: {error}"))),
        }
    }

    fn warn_of_defects(&self, report: &Report) {
        let warning = report
            .defects
            .first()
            .map(|first| match report.defects.len() {
                1 => first.to_string(),
                count => format!("{first} (the first of {count} defects)"),
            });
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.warning != warning {
            if let Some(warning) = &warning {
                warn!(
                    "{self}: {warning}; the users concerned count as unread or are missing: ask AWS for the report again"
                );
            }
            last.warning = warning;
        }
    }

    fn error(&self, what: impl fmt::Display) -> SourceError {
        SourceError {
            reason: Reason::File,
            message: format!("{self}: {what}"),
        }
    }

    fn too_long(&self) -> SourceError {
        self.error(format_args!(
            "it is longer than {} MiB, which no credential report is",
            self.max_bytes >> 20
        ))
    }
}

/// The input, as messages call it.
impl fmt::Display for ReportFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.input {
            Input::File(path) => write!(
                f,
                "credential report \"{}\"",
                path.to_string_lossy().escape_debug()
            ),
            Input::Stream(_) => f.write_str("credential report on standard input"),
        }
    }
}

impl fmt::Debug for ReportFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ReportFile({self})")
    }
}

impl Stream {
    async fn read(
        &mut self,
        source: &ReportFile,
        now: DateTime<Utc>,
    ) -> Result<Content, SourceError> {
        if let Some(content) = &self.content {
            return Ok(content.clone());
        }
        let report = match self.read_to_end(source).await {
            Ok(()) => parse(&self.bytes).map_err(|error| source.error(error)),
            Err(error) => Err(error),
        };
        self.reader = None;
        self.bytes = Vec::new();
        let content = Content {
            report: Arc::new(report),
            time: now,
        };
        Ok(self.content.insert(content).clone())
    }

    async fn read_to_end(&mut self, source: &ReportFile) -> Result<(), SourceError> {
        while let Some(reader) = &mut self.reader {
            match reader.read_buf(&mut self.bytes).await {
                Ok(0) => break,
                Ok(_) if self.bytes.len() as u64 > source.max_bytes => {
                    return Err(source.too_long());
                }
                Ok(_) => {}
                Err(error) => return Err(source.error(advice(&error))),
            }
        }
        Ok(())
    }
}

/// The file's bytes, at most one more than `max_bytes`, and when it was last written. Both are of
/// the one opened file, even if another takes its name meanwhile.
fn read_file(path: &Path, max_bytes: u64) -> io::Result<(Vec<u8>, Option<DateTime<Utc>>)> {
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    if metadata.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    let mut bytes = Vec::new();
    file.take(max_bytes + 1).read_to_end(&mut bytes)?;
    let modified = metadata.modified().ok().and_then(instant);
    Ok((bytes, modified))
}

/// The time as an instant; none before 1970 or after all that chrono can hold.
fn instant(time: SystemTime) -> Option<DateTime<Utc>> {
    let since_epoch = time.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    let seconds = i64::try_from(since_epoch.as_secs()).ok()?;
    DateTime::from_timestamp(seconds, since_epoch.subsec_nanos())
}

/// What went wrong with a file and what helps.
fn advice(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "there is no such file: check the path".to_owned(),
        io::ErrorKind::PermissionDenied => {
            "it may not be read: give this process the permission to".to_owned()
        }
        io::ErrorKind::IsADirectory => "it is a directory: name the CSV file in it".to_owned(),
        _ => format!("it can't be read: {error}"),
    }
}

fn inventory(report: &Report, owner: &ArnOwner, data_time: DateTime<Utc>) -> Inventory {
    Inventory {
        account: Account {
            id: owner.account,
            partition: Arc::clone(&owner.partition),
            name: None,
            alias: None,
        },
        users: report.rows.iter().map(super::Row::to_user).collect(),
        user_count: (report.listing == Listing::Complete).then_some(report.rows.len()),
        root: report.root,
        data_time,
        listing: report.listing,
        troubles: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use std::{
        pin::Pin,
        task::{Context, Poll},
    };

    use chrono::TimeDelta;
    use tokio::io::ReadBuf;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_source_that_gives_nothing_runs_out_of_time() {
        let (_writer, reader) = tokio::io::duplex(1);
        let source = ReportFile::stream(reader);
        let deadline = Instant::now() + Duration::from_secs(5);
        let outcomes = source.collect(DateTime::UNIX_EPOCH, deadline).await;
        let error = outcomes[0].result.as_ref().unwrap_err();
        assert_eq!(error.reason, Reason::Timeout);
        assert!(error.message.contains("--refresh.timeout"), "{error}");
    }

    /// A deadline that no test comes near.
    fn later() -> Instant {
        Instant::now() + Duration::from_mins(1)
    }
    use crate::inventory::User;

    const REPORT: &str = include_str!("../../../tests/fixtures/credential-report.csv");

    fn now() -> DateTime<Utc> {
        "2024-06-30T12:00:00Z".parse().unwrap()
    }

    fn file(name: &str, content: impl AsRef<[u8]>) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        (folder, path)
    }

    fn set_modified(path: &Path, time: DateTime<Utc>) {
        File::options()
            .write(true)
            .open(path)
            .unwrap()
            .set_modified(time.into())
            .unwrap();
    }

    async fn collect(source: &ReportFile, now: DateTime<Utc>) -> Outcome {
        let mut outcomes = source.collect(now, later()).await;
        assert_eq!(outcomes.len(), 1);
        outcomes.remove(0)
    }

    async fn message(source: &ReportFile) -> String {
        let error = collect(source, now()).await.result.unwrap_err();
        assert_eq!(error.reason, Reason::File);
        assert!(!error.message.contains('\n'), "{}", error.message);
        error.message
    }

    #[tokio::test]
    async fn a_file_gives_its_account_and_is_as_old_as_its_modification() {
        let (_folder, path) = file("report.csv", REPORT);
        let modified = now() - TimeDelta::days(3);
        set_modified(&path, modified);
        let outcome = collect(&ReportFile::new(&path), now()).await;
        assert_eq!(outcome.account.unwrap().as_str(), "111122223333");
        let inventory = outcome.result.unwrap();
        assert_eq!(inventory.data_time, modified);
        assert_eq!(inventory.user_count, Some(inventory.users.len()));
        assert_eq!(&*inventory.account.partition, "aws");
        assert!(inventory.is_complete());
    }

    #[tokio::test]
    async fn a_file_from_the_future_is_as_old_as_now() {
        let (_folder, path) = file("report.csv", REPORT);
        set_modified(&path, now() + TimeDelta::days(3));
        let outcome = collect(&ReportFile::new(&path), now()).await;
        assert_eq!(outcome.result.unwrap().data_time, now());
    }

    #[tokio::test]
    async fn a_file_is_read_again_and_a_failure_counts_under_the_account_it_had() {
        let (_folder, path) = file("report.csv", "");
        let source = ReportFile::new(&path);
        assert_eq!(collect(&source, now()).await.account, None);

        std::fs::write(&path, REPORT).unwrap();
        let users = collect(&source, now()).await.result.unwrap().users.len();

        let (kept, cut) = REPORT.trim_end().rsplit_once('\n').unwrap();
        std::fs::write(&path, format!("{kept}\n")).unwrap();
        let fewer = collect(&source, now()).await.result.unwrap().users.len();
        assert_eq!(fewer, users - 1, "{cut}");

        std::fs::remove_file(&path).unwrap();
        let outcome = collect(&source, now()).await;
        assert_eq!(outcome.account.unwrap().as_str(), "111122223333");
        assert!(outcome.result.is_err());
    }

    #[tokio::test]
    async fn what_is_no_report_is_told_in_one_line_with_the_path() {
        for (content, told) in [
            (&b""[..], "it is empty"),
            (b"\xEF\xBB\xBF \r\n", "it is empty"),
            (b"<!DOCTYPE html><html>", "HTML"),
            (b"\x7fELF\x02\x01\0\0", "not UTF-8"),
            (b"a,b\n\xC3\x28\n", "line 2: it is not UTF-8"),
            (b"{\"Content\": \"dXNlcg==\"}", "base64 --decode"),
            (b"dXNlcixhcm4sdXNlcl9jcmVhdGlvbl90aW1l", "base64 --decode"),
            (b"\xFF\xFEu\0s\0", "UTF-16"),
            (
                b"user,arn,access_key_1_active\n",
                "no column access_key_1_last_rotated",
            ),
        ] {
            let (_folder, path) = file("audit.csv", content);
            let message = message(&ReportFile::new(&path)).await;
            assert!(message.contains("audit.csv"), "{message}");
            assert!(message.contains(told), "{message}");
        }
        let header = REPORT.lines().next().unwrap();
        let (_folder, path) = file("audit.csv", header);
        assert!(message(&ReportFile::new(&path)).await.contains("no row"));
    }

    #[tokio::test]
    async fn a_path_that_is_no_readable_file_is_told_with_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let message_of_folder = message(&ReportFile::new(folder.path())).await;
        assert!(
            message_of_folder.contains("is a directory"),
            "{message_of_folder}"
        );
        let missing = message(&ReportFile::new(folder.path().join("none.csv"))).await;
        assert!(
            missing.contains("no such file") && missing.contains("none.csv"),
            "{missing}"
        );
        assert!(advice(&io::ErrorKind::PermissionDenied.into()).contains("permission"));
    }

    #[tokio::test]
    async fn a_file_longer_than_allowed_is_refused() {
        let (_folder, path) = file("report.csv", REPORT);
        let mut source = ReportFile::new(&path);
        source.max_bytes = 100;
        assert!(message(&source).await.contains("longer than"));
        let mut source = ReportFile::stream(REPORT.as_bytes());
        source.max_bytes = 100;
        assert!(message(&source).await.contains("longer than"));
    }

    #[tokio::test]
    async fn a_file_cut_short_gives_what_it_holds_but_not_as_the_whole() {
        let (_folder, path) = file("report.csv", &REPORT[..REPORT.len() - 60]);
        let outcome = collect(&ReportFile::new(&path), now()).await;
        let inventory = outcome.result.unwrap();
        assert!(matches!(inventory.listing, Listing::Truncated(_)));
        assert!(inventory.users.iter().any(User::is_read));
    }

    #[tokio::test]
    async fn a_stream_is_read_once_and_served_again_as_old_as_it_was_then() {
        let source = ReportFile::stream(REPORT.as_bytes());
        let first = collect(&source, now()).await.result.unwrap();
        let later = now() + TimeDelta::hours(1);
        let second = collect(&source, later).await.result.unwrap();
        assert_eq!(first, second);
        assert_eq!(second.data_time, now());
    }

    /// Gives one byte, then nothing until it is polled a second time, and so on.
    struct Slow(&'static [u8], bool);

    impl AsyncRead for Slow {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            buffer: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            self.1 = !self.1;
            if self.1 {
                return Poll::Pending;
            }
            if let Some((first, rest)) = self.0.split_first() {
                buffer.put_slice(&[*first]);
                self.0 = rest;
            }
            Poll::Ready(Ok(()))
        }
    }

    #[test]
    fn giving_a_stream_up_half_way_loses_nothing_of_it() {
        let source = ReportFile::stream(Slow(REPORT.as_bytes(), false));
        let mut context = Context::from_waker(std::task::Waker::noop());
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        let _guard = runtime.enter();
        for _ in 0..10 * REPORT.len() {
            let mut read = Box::pin(source.collect(now(), later()));
            if let Poll::Ready(mut outcomes) = read.as_mut().poll(&mut context) {
                assert!(outcomes.remove(0).result.unwrap().is_complete());
                return;
            }
        }
        panic!("the stream never ended");
    }
}
