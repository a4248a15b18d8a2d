//! What a reader has to say beside what it found.

use crate::{key::AccountId, reason::Reason};

/// Something that begins or ends in how an account is read, and that its inventory doesn't tell. A
/// reader makes it once; whoever runs many readers decides how much of it is said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Remark {
    /// Users are listed one by one, for the credential report can't be used.
    ListsInstead {
        /// Why, on one line and without secrets.
        why: String,
    },
    /// The credential report can be used again.
    ReportUsable,
    /// The report's dates of keys are not those of their creation.
    DatesDiffer,
    /// The credentials were those of another account before.
    OtherAccount {
        /// Which.
        before: AccountId,
    },
    /// The tags of some users can't be read.
    TagsUnread {
        /// The cause in one of the users.
        reason: Reason,
        /// How many users.
        users: usize,
        /// What failed and what to do about it, on one line and without secrets.
        message: String,
    },
    /// The tags of all users can be read again.
    TagsRead,
}

impl Remark {
    /// What it is about, in one word, for a sum.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::ListsInstead { .. } => "lists_instead",
            Self::ReportUsable => "report_usable",
            Self::DatesDiffer => "dates_differ",
            Self::OtherAccount { .. } => "other_account",
            Self::TagsUnread { .. } => "tags_unread",
            Self::TagsRead => "tags_read",
        }
    }

    /// Whether something is amiss, and not over.
    pub fn is_warning(&self) -> bool {
        match self {
            Self::ListsInstead { .. }
            | Self::DatesDiffer
            | Self::OtherAccount { .. }
            | Self::TagsUnread { .. } => true,
            Self::ReportUsable | Self::TagsRead => false,
        }
    }

    /// Logs it, at WARN if something is amiss and else at INFO.
    pub fn say(&self, account: &str) {
        match self {
            Self::ListsInstead { why } => tracing::warn!(
                account,
                "every user is listed, for want of a usable credential report: {why}"
            ),
            Self::ReportUsable => {
                tracing::info!(account, "the credential report can be used again");
            }
            Self::DatesDiffer => tracing::warn!(
                account,
                "the credential report's access_key_last_rotated is not CreateDate in this account; \
                 only ListAccessKeys is believed"
            ),
            Self::OtherAccount { before } => tracing::warn!(
                account,
                %before,
                "the credentials belong to another account now"
            ),
            Self::TagsUnread {
                reason,
                users,
                message,
            } => tracing::warn!(
                account,
                %reason,
                users,
                "tags of users could not be read, so no rule that goes by tags applies to them: \
                 {message}"
            ),
            Self::TagsRead => tracing::info!(account, "the tags of users can be read again"),
        }
    }

    /// Logs it at DEBUG, in short, where it comes too often to be said in full.
    pub fn whisper(&self, account: &str) {
        tracing::debug!(account, "{self:?}");
    }
}
