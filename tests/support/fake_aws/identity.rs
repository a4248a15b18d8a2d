//! What an account is made of: users, keys, roles and the root user.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

/// When and where a key was last used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LastUsed {
    /// AWS says never, or not since it began to record this.
    Never,
    /// At a time, for a service, in a region (`N/A` for global ones).
    At {
        time: DateTime<Utc>,
        service: String,
        region: String,
    },
}

impl LastUsed {
    /// By S3 in us-east-1.
    pub fn at(time: DateTime<Utc>) -> Self {
        Self::At {
            time,
            service: "s3".to_owned(),
            region: "us-east-1".to_owned(),
        }
    }
}

/// An access key. Its id is the key of the map it is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// `Active`, `Inactive`, or anything else that AWS may come up with.
    pub status: String,
    pub created: DateTime<Utc>,
    pub last_used: LastUsed,
}

impl Key {
    /// An active key that was never used.
    pub fn active(created: DateTime<Utc>) -> Self {
        Self {
            status: "Active".to_owned(),
            created,
            last_used: LastUsed::Never,
        }
    }
}

/// A console password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Password {
    pub changed: DateTime<Utc>,
    pub last_used: Option<DateTime<Utc>>,
}

/// An IAM user. Its name is the key of the map it is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The unique id, `AIDA…`: another one when a user is created again under an old name.
    pub id: String,
    /// Begins and ends with `/`.
    pub path: String,
    pub created: DateTime<Utc>,
    pub password: Option<Password>,
    pub mfa: bool,
    pub tags: BTreeMap<String, String>,
    pub(super) keys: BTreeMap<String, Key>,
}

impl User {
    /// The keys by id, which is the order AWS numbers them in.
    pub fn keys(&self) -> &BTreeMap<String, Key> {
        &self.keys
    }
}

/// The root user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Root {
    pub created: DateTime<Utc>,
    pub password_last_used: Option<DateTime<Utc>>,
    pub mfa: bool,
    pub keys: Vec<Key>,
}

/// A role that anybody may assume who knows its external id. Its name is the key of the map it is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Role {
    /// Begins and ends with `/`.
    pub path: String,
    /// What `AssumeRole` must be told, if anything.
    pub external_id: Option<String>,
}
