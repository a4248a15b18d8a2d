//! What a source gives.

use std::time::Duration;

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
}
