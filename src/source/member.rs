//! What a source is made of, as discovered: accounts that come and go.

use std::sync::Arc;

use tokio::time::Instant;

use super::{SourceError, accounts::Role};
use crate::key::AccountId;

/// What is refreshed by itself: one account of AWS, or a whole report or demo.
///
/// Two members of a discovery never have the same `account`, and at most one has none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Whose; `None` where only reading tells: the account of one's own credentials, a report.
    pub account: Option<AccountId>,
    /// What the account is called by whoever lists it.
    pub name: Option<Arc<str>>,
    /// How it is read. If this changes, the member needs a new reader.
    pub access: Access,
}

/// How a member is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Access {
    /// With one's own credentials.
    Own,
    /// Through a role in it.
    Role(Arc<Role>),
    /// As a report or the demo is, in one go.
    Whole,
}

/// What there is to read.
#[derive(Debug, Clone)]
pub struct Discovery {
    /// All members. If it failed, those of the last good look under this configuration, so none
    /// that is missing here can be told to be gone.
    pub members: Vec<Member>,
    /// Why it failed, if it did.
    pub trouble: Option<SourceError>,
    /// When to look again; `None` if nothing can change.
    pub next: Option<Instant>,
}

impl Discovery {
    /// There is one member, for ever.
    pub fn only(member: Member) -> Self {
        Self {
            members: vec![member],
            trouble: None,
            next: None,
        }
    }
}
