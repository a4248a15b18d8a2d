//! What a source gives.

use std::time::Duration;

use super::Remark;
use crate::{inventory::Inventory, key::AccountId, reason::Reason};

/// Why a source could not give an account's inventory.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SourceError {
    /// The cause, as it is counted.
    pub reason: Reason,
    /// What failed, where, and what to do about it, on one line and without secrets.
    pub message: String,
}

/// What one refresh found of one account.
#[derive(Debug)]
pub struct Outcome {
    /// Whose; `None` if the account's id could not be learned.
    pub account: Option<AccountId>,
    /// What was read, or why nothing was.
    pub result: Result<Inventory, SourceError>,
    /// How long it took.
    pub duration: Duration,
    /// What there is to say beside that.
    pub remarks: Vec<Remark>,
}

impl Outcome {
    /// Whose it is, in words.
    pub(crate) fn name(&self) -> String {
        self.account
            .map_or_else(|| "unknown".to_owned(), |id| id.to_string())
    }

    /// Logs all remarks.
    pub fn say_remarks(&self) {
        for remark in &self.remarks {
            remark.say(&self.name());
        }
    }
}
