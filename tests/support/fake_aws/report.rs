//! The credential report: when there is one, what it says, and when it goes out of date
//! (IAM user guide, "Generate credential reports for your AWS account").

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};

use super::account::{Account, zulu};
use super::identity::{Key, LastUsed};
use super::wire::{ErrorCode, Failure};

/// How times are written in the report. Both are seen in the wild.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TimeStyle {
    /// `2024-01-02T03:04:05+00:00`
    #[default]
    Offset,
    /// `2024-01-02T03:04:05Z`
    Zulu,
}

/// The report's settings and its state.
pub struct Report {
    /// How many calls of Generate or Get a generation outlasts. The call after them finds it complete.
    pub polls: u32,
    /// For how long Generate hands out the present report instead of making another: 4 hours in AWS.
    pub reused_for: TimeDelta,
    /// From which age on Get answers `ReportExpired`; never where `None`. 4 hours to begin with.
    pub expires_after: Option<TimeDelta>,
    pub time_style: TimeStyle,
    state: State,
}

/// The life of a report.
enum State {
    NotPresent,
    Generating {
        polls_left: u32,
    },
    Complete {
        generated: DateTime<Utc>,
        content: Vec<u8>,
    },
}

/// What Generate answers.
pub(super) enum Generation {
    Started { description: &'static str },
    InProgress,
    Complete,
}

impl Default for Report {
    fn default() -> Self {
        Self {
            polls: 0,
            reused_for: TimeDelta::hours(4),
            expires_after: Some(TimeDelta::hours(4)),
            time_style: TimeStyle::default(),
            state: State::NotPresent,
        }
    }
}

impl Report {
    /// When the present report was made.
    pub fn generated(&self) -> Option<DateTime<Utc>> {
        match &self.state {
            State::Complete { generated, .. } => Some(*generated),
            State::NotPresent | State::Generating { .. } => None,
        }
    }

    /// Takes the report away, as in an account that never had one.
    pub fn remove(&mut self) {
        self.state = State::NotPresent;
    }

    /// Puts a report of the test's own making in place: any bytes, any age.
    pub fn replace(&mut self, generated: DateTime<Utc>, content: impl Into<Vec<u8>>) {
        self.state = State::Complete {
            generated,
            content: content.into(),
        };
    }
}

impl Account {
    /// Makes a report now, of the account as it is and stamped with the fake's clock. It is frozen: what happens later
    /// is not in it, until it is old enough to be made again.
    pub fn complete_report(&mut self) {
        let content = self.report_csv();
        self.report.replace(self.now, content);
    }

    /// The report of the account as it is now: what a report made at this instant would say.
    pub fn report_csv(&self) -> Vec<u8> {
        let more_than_two = self.users().values().any(|user| user.keys().len() > SLOTS);
        let mut writer = csv::WriterBuilder::new()
            .flexible(true)
            .from_writer(Vec::new());
        let header = COLUMNS.iter().copied();
        // Seen only where it has something to say.
        let extra = more_than_two.then_some("additional_credentials_info");
        writer.write_record(header.chain(extra)).expect(IN_MEMORY);
        writer
            .write_record(self.root_row(more_than_two))
            .expect(IN_MEMORY);
        let mut names: Vec<_> = self.users().keys().collect();
        names.sort_by_cached_key(|name| name.to_lowercase());
        for name in names {
            writer
                .write_record(self.user_row(name, more_than_two))
                .expect(IN_MEMORY);
        }
        let mut content = writer.into_inner().expect(IN_MEMORY);
        // The last line doesn't end in a newline.
        content.pop();
        content
    }

    pub(super) fn generate_report(&mut self) -> Generation {
        self.poll_report();
        let description = match &self.report.state {
            State::Generating { .. } => return Generation::InProgress,
            State::Complete { generated, .. } if self.now - generated < self.report.reused_for => {
                return Generation::Complete;
            }
            State::Complete { .. } => {
                "The existing report has expired. Starting a new report generation task"
            }
            State::NotPresent => "No report exists. Starting a new report generation task",
        };
        self.report.state = State::Generating {
            polls_left: self.report.polls,
        };
        Generation::Started { description }
    }

    pub(super) fn fetch_report(&mut self) -> Result<(DateTime<Utc>, &[u8]), Failure> {
        self.poll_report();
        let failure = match &self.report.state {
            State::NotPresent => ErrorCode::ReportNotPresent,
            State::Generating { .. } => ErrorCode::ReportInProgress,
            State::Complete { generated, content } => match self.report.expires_after {
                Some(limit) if self.now - generated >= limit => ErrorCode::ReportExpired,
                _ => return Ok((*generated, content)),
            },
        };
        Err(Failure::of(failure))
    }

    /// Each look at a report under way brings it nearer to its end. The rows are those of the instant it ends.
    fn poll_report(&mut self) {
        if let State::Generating { polls_left } = &mut self.report.state {
            if *polls_left == 0 {
                self.complete_report();
            } else {
                *polls_left -= 1;
            }
        }
    }

    fn root_row(&self, more_than_two: bool) -> Vec<String> {
        let root = &self.root;
        let mut row = vec![
            "<root_account>".to_owned(),
            self.root_arn(),
            self.report_time(root.created),
            NOT_SUPPORTED.to_owned(),
            self.report_time_or(root.password_last_used, NO_INFORMATION),
            NOT_SUPPORTED.to_owned(),
            NOT_SUPPORTED.to_owned(),
            root.mfa.to_string(),
        ];
        self.push_keys(&mut row, root.keys.iter(), more_than_two);
        row
    }

    fn user_row(&self, name: &str, more_than_two: bool) -> Vec<String> {
        let user = &self.users()[name];
        let password = user.password.as_ref();
        let mut row = vec![
            name.to_owned(),
            self.user_arn(name, user),
            self.report_time(user.created),
            password.is_some().to_string(),
            match password {
                None => NOT_APPLICABLE.to_owned(),
                Some(password) => self.report_time_or(password.last_used, NO_INFORMATION),
            },
            self.report_time_or(password.map(|password| password.changed), NOT_APPLICABLE),
            NOT_APPLICABLE.to_owned(),
            user.mfa.to_string(),
        ];
        self.push_keys(&mut row, user.keys().values(), more_than_two);
        row
    }

    /// The columns of the first two keys in the order of their ids, of the certificates (nobody has any), and the note
    /// on further keys.
    fn push_keys<'a>(
        &self,
        row: &mut Vec<String>,
        mut keys: impl Iterator<Item = &'a Key>,
        more_than_two: bool,
    ) {
        let absent = || NOT_APPLICABLE.to_owned();
        for _ in 0..SLOTS {
            let Some(key) = keys.next() else {
                row.extend(["false".to_owned(), absent(), absent(), absent(), absent()]);
                continue;
            };
            row.push((key.status == "Active").to_string());
            row.push(self.report_time(key.created));
            match &key.last_used {
                LastUsed::Never => row.extend([absent(), absent(), absent()]),
                LastUsed::At {
                    time,
                    service,
                    region,
                } => row.extend([self.report_time(*time), region.clone(), service.clone()]),
            }
        }
        row.extend(["false".to_owned(), absent(), "false".to_owned(), absent()]);
        if more_than_two {
            row.push(match keys.count() {
                0 => absent(),
                further => format!("{further} more access keys, see ListAccessKeys"),
            });
        }
    }

    fn report_time(&self, time: DateTime<Utc>) -> String {
        match self.report.time_style {
            TimeStyle::Zulu => zulu(time),
            TimeStyle::Offset => time.to_rfc3339_opts(SecondsFormat::Secs, false),
        }
    }

    fn report_time_or(&self, time: Option<DateTime<Utc>>, otherwise: &str) -> String {
        time.map_or_else(|| otherwise.to_owned(), |time| self.report_time(time))
    }
}

/// The keys that a row has room for.
const SLOTS: usize = 2;
const NOT_APPLICABLE: &str = "N/A";
const NO_INFORMATION: &str = "no_information";
const NOT_SUPPORTED: &str = "not_supported";
const IN_MEMORY: &str = "writing to memory cannot fail";

const COLUMNS: [&str; 22] = [
    "user",
    "arn",
    "user_creation_time",
    "password_enabled",
    "password_last_used",
    "password_last_changed",
    "password_next_rotation",
    "mfa_active",
    "access_key_1_active",
    "access_key_1_last_rotated",
    "access_key_1_last_used_date",
    "access_key_1_last_used_region",
    "access_key_1_last_used_service",
    "access_key_2_active",
    "access_key_2_last_rotated",
    "access_key_2_last_used_date",
    "access_key_2_last_used_region",
    "access_key_2_last_used_service",
    "cert_1_active",
    "cert_1_last_rotated",
    "cert_2_active",
    "cert_2_last_rotated",
];
