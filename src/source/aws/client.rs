//! The calls to AWS, one method a call.

use std::{sync::Arc, time::Duration};

use aws_sdk_iam::types::ReportStateType;
use aws_smithy_runtime::client::retries::RetryPartition;
use aws_smithy_runtime_api::client::{orchestrator::HttpResponse, result::SdkError};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use aws_types::SdkConfig;
use chrono::{DateTime, Utc};
use tokio::time::Instant;

use super::{connector::Connector, failure::CallError, pace::Lane};
use crate::{
    counts::Operation,
    intern::Word,
    key::{AccessKey, ArnOwner, KeyName, KeyStatus, LastUse, UsedAt},
};

/// The most that IAM gives on one page.
const PAGE: i32 = 1000;

/// A connection to one account.
#[derive(Debug)]
pub(super) struct Api {
    pub(super) iam: aws_sdk_iam::Client,
    pub(super) connector: Arc<Connector>,
    pub(super) partition: RetryPartition,
    pub(super) lane: Arc<Lane>,
    /// All attempts of a call and the pauses between them.
    pub(super) limit: Duration,
    /// The configuration with the exporter's own credentials that it was made from.
    pub(super) base: Arc<SdkConfig>,
}

/// Makes one call in a lane, retries included, within `limit` and before `deadline`.
pub(super) async fn call<T, E, F>(
    lane: &Arc<Lane>,
    operation: Operation,
    limit: Duration,
    deadline: Instant,
    request: impl FnOnce() -> F,
) -> Result<T, CallError>
where
    E: std::error::Error + ProvideErrorMetadata + 'static,
    F: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
{
    // The future of a call takes some kilobytes, which are spent only once it is its turn.
    let request = async { Box::pin(request()).await };
    match tokio::time::timeout_at(deadline, lane.call(limit, request)).await {
        Ok(Some(answer)) => answer.map_err(|error| CallError::new(operation, &error)),
        Ok(None) => Err(CallError::too_long(operation, limit)),
        Err(_) => Err(CallError::out_of_time(operation)),
    }
}

/// A page of a listing: its items, and where the next one starts.
pub(super) struct Page<T> {
    pub(super) items: Vec<T>,
    pub(super) next: Option<String>,
}

/// A user as `ListUsers` gives it.
pub(super) struct ListedUser {
    pub(super) name: Arc<str>,
    /// `Path`
    pub(super) path: Word,
    /// `CreateDate`, which a user keeps when renamed.
    pub(super) created: Option<DateTime<Utc>>,
}

/// The state of a credential report's generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Generation {
    Complete,
    UnderWay,
}

/// A credential report as fetched.
pub(super) struct FetchedReport {
    pub(super) csv: Vec<u8>,
    pub(super) generated: DateTime<Utc>,
}

impl Api {
    /// Calls that may be under way at once.
    pub(super) fn max_concurrency(&self) -> usize {
        self.lane.at_once()
    }

    /// Makes one call, retries included, within the concurrency allowed and before `deadline`.
    async fn call<T, E, F>(
        &self,
        operation: Operation,
        deadline: Instant,
        request: impl FnOnce() -> F,
    ) -> Result<T, CallError>
    where
        E: std::error::Error + ProvideErrorMetadata + 'static,
        F: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    {
        call(&self.lane, operation, self.limit, deadline, request).await
    }

    /// The account and partition that the credentials belong to.
    pub(super) async fn caller(&self, deadline: Instant) -> Result<ArnOwner, CallError> {
        let operation = Operation::GetCallerIdentity;
        let sts = self.connector.sts(&self.base, self.partition.clone());
        let answer = self
            .call(operation, deadline, || sts.get_caller_identity().send())
            .await?;
        let arn = answer.arn().unwrap_or_default();
        arn.parse()
            .map_err(|error: crate::key::BadArn| CallError::malformed(operation, error.to_string()))
    }

    /// The account's alias, if it has one.
    pub(super) async fn alias(&self, deadline: Instant) -> Result<Option<Arc<str>>, CallError> {
        let answer = self
            .call(Operation::ListAccountAliases, deadline, || {
                self.iam.list_account_aliases().send()
            })
            .await?;
        Ok(answer
            .account_aliases()
            .first()
            .map(|alias| alias.as_str().into()))
    }

    /// Whether the root user has access keys: the summary's `AccountAccessKeysPresent`.
    pub(super) async fn root_keys_present(
        &self,
        deadline: Instant,
    ) -> Result<Option<bool>, CallError> {
        let answer = self
            .call(Operation::GetAccountSummary, deadline, || {
                self.iam.get_account_summary().send()
            })
            .await?;
        let entry = aws_sdk_iam::types::SummaryKeyType::AccountAccessKeysPresent;
        Ok(answer
            .summary_map()
            .and_then(|map| map.get(&entry))
            .map(|count| *count > 0))
    }

    /// The users on one page of `ListUsers`.
    pub(super) async fn users(
        &self,
        marker: Option<String>,
        deadline: Instant,
    ) -> Result<Page<ListedUser>, CallError> {
        let operation = Operation::ListUsers;
        let request = self
            .iam
            .list_users()
            .max_items(PAGE)
            .set_marker(marker.clone());
        let answer = self.call(operation, deadline, || request.send()).await?;
        Ok(Page {
            items: answer
                .users()
                .iter()
                .map(|user| ListedUser {
                    name: user.user_name().into(),
                    path: user.path().into(),
                    created: utc(user.create_date()),
                })
                .collect(),
            next: next_page(
                operation,
                answer.is_truncated(),
                answer.marker(),
                marker.as_deref(),
            )?,
        })
    }

    /// The keys on one page of `ListAccessKeys` for `user`, their last use still unknown. A key
    /// without id, date or status is an error in place of the page.
    pub(super) async fn access_keys(
        &self,
        user: &str,
        marker: Option<String>,
        deadline: Instant,
    ) -> Result<Page<AccessKey>, CallError> {
        let operation = Operation::ListAccessKeys;
        let request = self
            .iam
            .list_access_keys()
            .user_name(user)
            .max_items(PAGE)
            .set_marker(marker.clone());
        let answer = self.call(operation, deadline, || request.send()).await?;
        let items = answer
            .access_key_metadata()
            .iter()
            .map(|key| {
                match (
                    key.access_key_id(),
                    key.status(),
                    key.create_date().and_then(utc),
                ) {
                    (Some(id), Some(status), Some(created)) => Ok(AccessKey {
                        name: KeyName::Id(id.into()),
                        status: KeyStatus::from(status.as_str()),
                        created,
                        last_use: LastUse::Unknown,
                    }),
                    _ => Err(CallError::malformed(
                        operation,
                        "a key without AccessKeyId, Status or CreateDate",
                    )),
                }
            })
            .collect::<Result<_, _>>()?;
        Ok(Page {
            items,
            next: next_page(
                operation,
                answer.is_truncated(),
                answer.marker(),
                marker.as_deref(),
            )?,
        })
    }

    /// When the key was last used. AWS gives no date for a key that was never used.
    ///
    /// Source: IAM API Reference, `AccessKeyLastUsed`.
    pub(super) async fn last_use(&self, id: &str, deadline: Instant) -> Result<LastUse, CallError> {
        let operation = Operation::GetAccessKeyLastUsed;
        let answer = self
            .call(operation, deadline, || {
                self.iam.get_access_key_last_used().access_key_id(id).send()
            })
            .await?;
        let Some(used) = answer.access_key_last_used() else {
            return Err(CallError::malformed(operation, "no AccessKeyLastUsed"));
        };
        Ok(match used.last_used_date() {
            None => LastUse::Never,
            Some(date) => match utc(date) {
                None => LastUse::Unknown,
                Some(time) => LastUse::At(UsedAt::new(time, used.service_name(), used.region())),
            },
        })
    }

    /// The tags on one page of `ListUserTags` for `user`: keys and values.
    pub(super) async fn user_tags(
        &self,
        user: &str,
        marker: Option<String>,
        deadline: Instant,
    ) -> Result<Page<(String, String)>, CallError> {
        let operation = Operation::ListUserTags;
        let request = self
            .iam
            .list_user_tags()
            .user_name(user)
            .max_items(PAGE)
            .set_marker(marker.clone());
        let answer = self.call(operation, deadline, || request.send()).await?;
        let next = next_page(
            operation,
            answer.is_truncated(),
            answer.marker(),
            marker.as_deref(),
        )?;
        let tags = answer.tags.into_iter().map(|tag| (tag.key, tag.value));
        Ok(Page {
            items: tags.collect(),
            next,
        })
    }

    /// Asks for a new credential report. AWS makes one only if the last is older than four hours.
    pub(super) async fn generate_report(&self, deadline: Instant) -> Result<Generation, CallError> {
        let answer = self
            .call(Operation::GenerateCredentialReport, deadline, || {
                self.iam.generate_credential_report().send()
            })
            .await?;
        Ok(match answer.state() {
            Some(ReportStateType::Complete) => Generation::Complete,
            // STARTED, INPROGRESS, or a state that isn't known: all mean to ask again.
            _ => Generation::UnderWay,
        })
    }

    /// Fetches the credential report.
    pub(super) async fn report(&self, deadline: Instant) -> Result<FetchedReport, CallError> {
        let operation = Operation::GetCredentialReport;
        let answer = self
            .call(operation, deadline, || {
                self.iam.get_credential_report().send()
            })
            .await?;
        let generated = answer
            .generated_time()
            .and_then(utc)
            .ok_or_else(|| CallError::malformed(operation, "no GeneratedTime"))?;
        let csv = answer
            .content
            .ok_or_else(|| CallError::malformed(operation, "no Content"))?
            .into_inner();
        Ok(FetchedReport { csv, generated })
    }
}

/// Where the next page starts. Only `IsTruncated` ends a listing: a page may be short, even empty.
fn next_page(
    operation: Operation,
    truncated: bool,
    marker: Option<&str>,
    previous: Option<&str>,
) -> Result<Option<String>, CallError> {
    match marker {
        _ if !truncated => Ok(None),
        Some(marker) if Some(marker) != previous => Ok(Some(marker.to_owned())),
        _ => Err(CallError::malformed(
            operation,
            "IsTruncated without a new Marker, so the listing can't be ended",
        )),
    }
}

/// The SDK's time as chrono's; `None` outside of what chrono can hold.
fn utc(time: &aws_smithy_types::DateTime) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp(time.secs(), time.subsec_nanos())
}
