//! What the exporter did, counted: calls to AWS by operation and refreshes by account.
//!
//! Sources and the refresher count here, the metrics read here; neither knows the other.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use chrono::{DateTime, Utc};

use crate::{key::AccountId, reason::Reason};

/// An AWS API operation that the exporter calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operation {
    /// STS: who the credentials belong to.
    GetCallerIdentity,
    /// IAM: the users, a page at a time.
    ListUsers,
    /// IAM: the keys of one user, a page at a time.
    ListAccessKeys,
    /// IAM: the last use of one key.
    GetAccessKeyLastUsed,
    /// IAM: whether the root user has keys.
    GetAccountSummary,
    /// IAM: the account's alias.
    ListAccountAliases,
    /// IAM: ask for a new credential report.
    GenerateCredentialReport,
    /// IAM: fetch the credential report.
    GetCredentialReport,
    /// IAM: the tags of one user, a page at a time.
    ListUserTags,
    /// STS: credentials of a role in another account.
    AssumeRole,
    /// Organizations: the member accounts, a page at a time.
    ListAccounts,
    /// Organizations: the accounts right in a root or organizational unit, a page at a time.
    ListAccountsForParent,
    /// Organizations: the units right in a root or organizational unit, a page at a time.
    ListOrganizationalUnitsForParent,
    /// Organizations: the tags of one account, a page at a time.
    ListTagsForResource,
}

/// The service of AWS that an operation belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// Identity and Access Management.
    Iam,
    /// Security Token Service.
    Sts,
    /// Organizations.
    Organizations,
}

impl Service {
    /// What stands before the operations' names in policies.
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::Iam => "iam",
            Self::Sts => "sts",
            Self::Organizations => "organizations",
        }
    }
}

impl Operation {
    /// Every operation.
    pub const ALL: [Self; 14] = [
        Self::GetCallerIdentity,
        Self::ListUsers,
        Self::ListAccessKeys,
        Self::GetAccessKeyLastUsed,
        Self::GetAccountSummary,
        Self::ListAccountAliases,
        Self::GenerateCredentialReport,
        Self::GetCredentialReport,
        Self::ListUserTags,
        Self::AssumeRole,
        Self::ListAccounts,
        Self::ListAccountsForParent,
        Self::ListOrganizationalUnitsForParent,
        Self::ListTagsForResource,
    ];

    /// The service that it belongs to.
    pub const fn service(self) -> Service {
        match self {
            Self::GetCallerIdentity | Self::AssumeRole => Service::Sts,
            Self::ListAccounts
            | Self::ListAccountsForParent
            | Self::ListOrganizationalUnitsForParent
            | Self::ListTagsForResource => Service::Organizations,
            Self::ListUsers
            | Self::ListAccessKeys
            | Self::GetAccessKeyLastUsed
            | Self::GetAccountSummary
            | Self::ListAccountAliases
            | Self::GenerateCredentialReport
            | Self::GetCredentialReport
            | Self::ListUserTags => Service::Iam,
        }
    }

    /// The operation's name in AWS's API reference.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::GetCallerIdentity => "GetCallerIdentity",
            Self::ListUsers => "ListUsers",
            Self::ListAccessKeys => "ListAccessKeys",
            Self::GetAccessKeyLastUsed => "GetAccessKeyLastUsed",
            Self::GetAccountSummary => "GetAccountSummary",
            Self::ListAccountAliases => "ListAccountAliases",
            Self::GenerateCredentialReport => "GenerateCredentialReport",
            Self::GetCredentialReport => "GetCredentialReport",
            Self::ListUserTags => "ListUserTags",
            Self::AssumeRole => "AssumeRole",
            Self::ListAccounts => "ListAccounts",
            Self::ListAccountsForParent => "ListAccountsForParent",
            Self::ListOrganizationalUnitsForParent => "ListOrganizationalUnitsForParent",
            Self::ListTagsForResource => "ListTagsForResource",
        }
    }

    /// The operation of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|operation| operation.as_str() == name)
    }
}

/// Calls to AWS since the start. Each attempt counts, retries too.
#[derive(Debug, Default)]
pub struct RequestCounts {
    attempts: [AtomicU64; Operation::ALL.len()],
    failures: [[AtomicU64; Reason::ALL.len()]; Operation::ALL.len()],
}

impl RequestCounts {
    /// Counts one attempt and, if it failed, why.
    pub fn count(&self, operation: Operation, failure: Option<Reason>) {
        self.attempts[operation as usize].fetch_add(1, Ordering::Relaxed);
        if let Some(reason) = failure {
            self.failures[operation as usize][reason as usize].fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Attempts of `operation`.
    pub fn attempts(&self, operation: Operation) -> u64 {
        self.attempts[operation as usize].load(Ordering::Relaxed)
    }

    /// Attempts of `operation` that failed for `reason`.
    pub fn failures(&self, operation: Operation, reason: Reason) -> u64 {
        self.failures[operation as usize][reason as usize].load(Ordering::Relaxed)
    }
}

/// Refreshes of one account since the start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RefreshCount {
    /// All of them.
    pub attempts: u64,
    /// Those that did not read everything, by reason; one that failed for two reasons counts under
    /// both.
    pub failures: [u64; Reason::ALL.len()],
}

/// Refreshes since the start, by account. `None` is an account whose id isn't known yet.
#[derive(Debug, Default)]
pub struct RefreshCounts(Mutex<BTreeMap<Option<AccountId>, RefreshCount>>);

impl RefreshCounts {
    /// Counts one refresh and why it did not read everything, if so.
    pub fn count(&self, account: Option<AccountId>, failures: &[Reason]) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(account).or_default();
        count.attempts += 1;
        for reason in failures {
            count.failures[*reason as usize] += 1;
        }
    }

    /// Drops the counts of an account that is gone: its series would stand still for ever.
    pub fn forget(&self, account: AccountId) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.remove(&Some(account));
    }

    /// The counts now, by account.
    pub fn all(&self) -> Vec<(Option<AccountId>, RefreshCount)> {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts
            .iter()
            .map(|(account, count)| (*account, count.clone()))
            .collect()
    }
}

/// Saves of what outlives the process, since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StorageCount {
    /// All of them.
    pub writes: u64,
    /// Those that failed.
    pub failures: u64,
    /// When one last succeeded, of this process or an earlier one; `None` if none is known of.
    pub last_success: Option<DateTime<Utc>>,
}

/// Where saves are counted.
#[derive(Debug, Default)]
pub struct StorageCounts(Mutex<StorageCount>);

impl StorageCounts {
    /// Takes in when an earlier process saved what was found.
    pub fn restored(&self, written: DateTime<Utc>) {
        self.change(|count| count.last_success = Some(written));
    }

    /// Counts one save, with its time if it succeeded.
    pub fn count(&self, success: Option<DateTime<Utc>>) {
        self.change(|count| {
            count.writes += 1;
            match success {
                Some(_) => count.last_success = success,
                None => count.failures += 1,
            }
        });
    }

    /// The counts now.
    pub fn now(&self) -> StorageCount {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut StorageCount)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_and_an_operation_index_their_own_counter() {
        for (index, reason) in Reason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, index);
        }
        for (index, operation) in Operation::ALL.into_iter().enumerate() {
            assert_eq!(operation as usize, index);
            assert_eq!(Operation::from_name(operation.as_str()), Some(operation));
        }
    }

    #[test]
    fn each_attempt_counts_and_a_failed_one_under_its_reason() {
        let counts = RequestCounts::default();
        counts.count(Operation::ListUsers, None);
        counts.count(Operation::ListUsers, Some(Reason::Throttled));
        assert_eq!(counts.attempts(Operation::ListUsers), 2);
        assert_eq!(counts.failures(Operation::ListUsers, Reason::Throttled), 1);
        assert_eq!(counts.failures(Operation::ListUsers, Reason::Other), 0);
        assert_eq!(counts.attempts(Operation::ListAccessKeys), 0);
    }
}
