//! The calls to Organizations, one method a listing.

use std::{error::Error, sync::Arc, time::Duration};

use aws_sdk_organizations::types::Account;
use aws_smithy_runtime_api::client::{orchestrator::HttpResponse, result::SdkError};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use aws_types::{SdkConfig, region::Region};
use tokio::time::Instant;

use super::{
    client::call,
    connector::Connector,
    failure::CallError,
    pace::{Lane, Pace},
    partition,
    setup::retry_partition,
};
use crate::{counts::Operation, inventory::Tag, key::AccountId};

/// Organizations lets an organisation's callers together make only a few calls a second.
///
/// Source: Organizations User Guide, "Quotas and service limits".
const PACE: Pace = Pace {
    at_once: 4,
    per_second: Some(5),
};

/// The directory of an organisation.
#[derive(Debug)]
pub(super) struct Directory {
    client: aws_sdk_organizations::Client,
    lane: Arc<Lane>,
    limit: Duration,
}

impl Directory {
    /// With the credentials of `base`. No call is made yet.
    pub(super) fn new(connector: &Connector, base: &SdkConfig, partition: &str) -> Self {
        let region = Region::from_static(partition::home_region(partition));
        let config = base.clone().into_builder().region(region).build();
        let settings = connector.settings();
        Self {
            client: connector.organizations(&config, retry_partition()),
            lane: connector.lane(Pace {
                per_second: settings.pace.per_second.and(PACE.per_second),
                ..PACE
            }),
            limit: settings.limits.operation,
        }
    }

    /// Calls that may be under way at once.
    pub(super) fn at_once(&self) -> usize {
        self.lane.at_once()
    }

    /// All accounts of the organisation, in whatever state.
    pub(super) async fn accounts(&self, deadline: Instant) -> Result<Vec<Account>, CallError> {
        let operation = Operation::ListAccounts;
        pages(operation, |token| async move {
            let request = self.client.list_accounts().set_next_token(token);
            let answer = self.call(operation, deadline, || request.send()).await?;
            Ok((answer.accounts.unwrap_or_default(), answer.next_token))
        })
        .await
    }

    /// The accounts right in a root or unit.
    pub(super) async fn accounts_in(
        &self,
        parent: &str,
        deadline: Instant,
    ) -> Result<Vec<Account>, CallError> {
        let operation = Operation::ListAccountsForParent;
        pages(operation, |token| async move {
            let request = self
                .client
                .list_accounts_for_parent()
                .parent_id(parent)
                .set_next_token(token);
            let answer = self.call(operation, deadline, || request.send()).await?;
            Ok((answer.accounts.unwrap_or_default(), answer.next_token))
        })
        .await
        .map_err(|error| about(parent, error))
    }

    /// The ids of the units right in a root or unit.
    pub(super) async fn units_in(
        &self,
        parent: &str,
        deadline: Instant,
    ) -> Result<Vec<String>, CallError> {
        let operation = Operation::ListOrganizationalUnitsForParent;
        let units = pages(operation, |token| async move {
            let request = self
                .client
                .list_organizational_units_for_parent()
                .parent_id(parent)
                .set_next_token(token);
            let answer = self.call(operation, deadline, || request.send()).await?;
            let units = answer.organizational_units.unwrap_or_default();
            Ok((units, answer.next_token))
        })
        .await
        .map_err(|error| about(parent, error))?;
        Ok(units.into_iter().filter_map(|unit| unit.id).collect())
    }

    /// The tags of an account.
    pub(super) async fn tags(
        &self,
        account: AccountId,
        deadline: Instant,
    ) -> Result<Vec<Tag>, CallError> {
        let operation = Operation::ListTagsForResource;
        let tags = pages(operation, |token| async move {
            let request = self
                .client
                .list_tags_for_resource()
                .resource_id(account.as_str())
                .set_next_token(token);
            let answer = self.call(operation, deadline, || request.send()).await?;
            Ok((answer.tags.unwrap_or_default(), answer.next_token))
        })
        .await
        .map_err(|error| about(account.as_str(), error))?;
        let tags = tags.into_iter().map(|tag| Tag {
            key: tag.key.into(),
            value: tag.value.into(),
        });
        Ok(tags.collect())
    }

    async fn call<T, E, F>(
        &self,
        operation: Operation,
        deadline: Instant,
        request: impl FnOnce() -> F,
    ) -> Result<T, CallError>
    where
        E: Error + ProvideErrorMetadata + 'static,
        F: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    {
        call(&self.lane, operation, self.limit, deadline, request).await
    }
}

/// All pages of a listing. Only the want of a token ends it: a page may be empty.
async fn pages<T, F>(
    operation: Operation,
    page: impl Fn(Option<String>) -> F,
) -> Result<Vec<T>, CallError>
where
    F: Future<Output = Result<(Vec<T>, Option<String>), CallError>>,
{
    let mut all = Vec::new();
    let mut token: Option<String> = None;
    loop {
        let (items, next) = page(token.clone()).await?;
        all.extend(items);
        match next.filter(|next| !next.is_empty()) {
            None => return Ok(all),
            next if next == token => {
                let why = "the same NextToken again, so the listing can't be ended";
                return Err(CallError::malformed(operation, why));
            }
            next => token = next,
        }
    }
}

/// The error, with what was asked about.
fn about(what: &str, error: CallError) -> CallError {
    CallError {
        message: format!("{what}: {}", error.message),
        ..error
    }
}
