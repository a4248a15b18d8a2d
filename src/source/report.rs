//! The credential report: one parser for what AWS sends and for what a file holds.
//!
//! The columns and their values are those of the IAM User Guide, "Generate credential reports for
//! your AWS account". Columns come and go, so they are found by name; a report carries no key ids,
//! so a key is named by its slot.

mod columns;
mod field;
mod file;
mod parse;
mod text;

use std::sync::Arc;

use chrono::{DateTime, Utc};

pub use self::{
    file::{MAX_BYTES, ReportFile},
    parse::parse,
};
use crate::{
    intern::Word,
    inventory::{Listing, RootKeys, User},
    key::{AccessKey, AccountId, ArnOwner, KeyName, KeyStatus, LastUse, Slot},
    reason::Reason,
};

/// A credential report, parsed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Whose it is, from the `arn` column; `None` only if there isn't a single row.
    pub owner: Option<ArnOwner>,
    /// The root user's keys, from the row `<root_account>`; unknown where there is no such row.
    pub root: RootKeys,
    /// The IAM users, each name once, in the order of the report. The users deleted since it was
    /// made are still among them.
    pub rows: Vec<Row>,
    /// Whether every row could be told apart. Where it is truncated, users may be missing.
    pub listing: Listing,
    /// What is wrong with it, by line.
    pub defects: Vec<Defect>,
}

/// One IAM user of a report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The user name.
    pub user: Arc<str>,
    /// The user's path, from the `arn` column; `/` where that can't be read.
    pub path: Word,
    /// `user_creation_time`; `None` where the report doesn't have it.
    pub created: Option<DateTime<Utc>>,
    /// The keys in the slots 1 and 2, those that could be read. A third key isn't in any report.
    pub slots: [Option<SlotRow>; 2],
    /// Whether every needed field of the row made sense. If not, there may be more keys than
    /// `slots` shows.
    pub is_read: bool,
}

/// One key of a report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlotRow {
    /// Where it stands.
    pub slot: Slot,
    /// `access_key_N_active`.
    pub active: bool,
    /// `access_key_N_last_rotated`: when the key was "created or last changed", so the key may be
    /// older than this says.
    pub last_rotated: DateTime<Utc>,
    /// The three `access_key_N_last_used_*` columns.
    pub last_use: LastUse,
}

/// What tells whether a user's keys changed from one report to the next: everything that a use of
/// a key leaves alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint {
    /// [`Row::created`]
    pub created: Option<DateTime<Utc>>,
    /// [`SlotRow::active`] and [`SlotRow::last_rotated`] of either slot.
    pub slots: [Option<(bool, DateTime<Utc>)>; 2],
}

impl Row {
    /// The keys in the report, one or two or none.
    pub fn keys(&self) -> impl Iterator<Item = &SlotRow> {
        self.slots.iter().flatten()
    }

    /// What to compare with a later report.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint {
            created: self.created,
            slots: self
                .slots
                .each_ref()
                .map(|slot| slot.as_ref().map(|key| (key.active, key.last_rotated))),
        }
    }

    /// The user as the report alone shows it, the keys named by slot and created when they were
    /// last rotated.
    pub fn to_user(&self) -> User {
        let keys = self.keys().map(SlotRow::to_key).collect();
        let user = if self.is_read {
            User::read(Arc::clone(&self.user), keys)
        } else {
            User::unread(Arc::clone(&self.user), keys, Reason::MalformedResponse)
        };
        User {
            path: self.path.clone(),
            ..user
        }
    }
}

impl SlotRow {
    fn to_key(&self) -> AccessKey {
        AccessKey {
            name: KeyName::Slot(self.slot),
            status: if self.active {
                KeyStatus::Active
            } else {
                KeyStatus::Inactive
            },
            created: self.last_rotated,
            last_use: self.last_use.clone(),
        }
    }
}

/// Something wrong with one row. It costs that row, not the report.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct Defect {
    /// The line the row begins on, the header being line 1.
    pub line: u64,
    /// What is wrong.
    pub problem: Problem,
}

/// What can be wrong with a row.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The row is shorter or longer than the header.
    #[error("{found} fields where the header has {expected}{}", if *.cut { ": the report ends in the middle of a row" } else { "" })]
    Fields {
        /// How many there are.
        found: usize,
        /// How many there should be.
        expected: usize,
        /// Whether the report ends here without an end of line.
        cut: bool,
    },
    /// A field spans lines, which none does in a report of AWS: a quote is missing, and rows with it.
    #[error("a field holds an end of line: a quote is missing somewhere, and rows may be lost")]
    LineInField,
    /// A field holds something else than what its column allows.
    #[error("{column} is \"{value}\", but must be {allowed}")]
    Value {
        /// The column.
        column: &'static str,
        /// The field, escaped and shortened.
        value: String,
        /// What is allowed.
        allowed: &'static str,
    },
    /// A key that is active or was used has no date.
    #[error("{column} has no date, but the other columns show that there is a key")]
    NoDate {
        /// The column.
        column: &'static str,
    },
    /// Two rows of one name, and nothing says which one is the user of today.
    #[error("a second row for the same user, no newer than the first by user_creation_time")]
    SameUser,
}

/// Why bytes are not a credential report.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// There is nothing.
    #[error("it is empty")]
    Empty,
    /// A web page, often that of a login or a proxy.
    #[error("it is an HTML or XML page, not CSV")]
    Html,
    /// The answer of the API or CLI around the report.
    #[error(
        "it is JSON, not CSV: take its field Content and decode that from Base64 \
         (--query Content --output text | base64 --decode)"
    )]
    Json,
    /// The report as the API and CLI give it.
    #[error("it is Base64, not CSV: decode it first (base64 --decode)")]
    Base64,
    /// What Windows PowerShell makes of a redirected output.
    #[error("it is UTF-16, not UTF-8: save it as UTF-8")]
    Utf16,
    /// Not text.
    #[error("line {line}: it is not UTF-8 text")]
    NotText {
        /// Where that shows first.
        line: u64,
    },
    /// Columns that nothing can be done without.
    #[error(
        "line 1: the header has no column {}; it must be a comma-separated credential report", .columns.join(", ")
    )]
    MissingColumns {
        /// Their names.
        columns: Vec<&'static str>,
    },
    /// A column whose meaning can't be told.
    #[error("line 1: the header has the column {column} twice")]
    ColumnTwice {
        /// Its name.
        column: &'static str,
    },
    /// The header swallowed the lines after it.
    #[error(
        "line 1: a column's name holds an end of line: a quote is missing, and rows may be lost"
    )]
    LineInHeader,
    /// No row tells the account.
    #[error("line {line}: no row has an ARN in the column arn, so the account can't be told")]
    NoArn {
        /// The first row's line.
        line: u64,
    },
    /// Rows of more than one account.
    #[error(
        "line {line}: the column arn names account {second} after {first}; a credential report is of one account"
    )]
    SeveralAccounts {
        /// Where the second one shows first.
        line: u64,
        /// The account of the rows before.
        first: AccountId,
        /// The account of this row.
        second: AccountId,
    },
    /// The CSV reader gave up.
    #[error("it can't be read as CSV: {0}")]
    Csv(String),
}
