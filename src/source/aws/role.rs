//! Credentials of a role in another account.

use std::{sync::Arc, time::SystemTime};

use aws_credential_types::{
    Credentials,
    provider::{self, ProvideCredentials, error::CredentialsError, future},
};
use aws_sdk_sts::operation::assume_role::AssumeRoleOutput;
use aws_smithy_runtime::client::retries::RetryPartition;
use aws_types::SdkConfig;

use super::{
    connector::{Connector, region},
    failure::CallError,
};
use crate::{counts::Operation, reason::Reason, source::accounts::Role};

/// How a session is called in `CloudTrail` of the role's account unless told otherwise.
const SESSION_NAME: &str = "iam-key-exporter";

/// Assumes a role. The SDK has a provider that does, but it can't be given a retry partition of the
/// account, nor interceptors that count its calls.
#[derive(Debug)]
pub(super) struct RoleCredentials {
    connector: Arc<Connector>,
    role: Arc<Role>,
    partition: RetryPartition,
}

/// Why a role gave no credentials.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub(super) struct NotAssumed(pub(super) CallError);

impl RoleCredentials {
    pub(super) fn new(
        connector: Arc<Connector>,
        role: Arc<Role>,
        partition: RetryPartition,
    ) -> Self {
        Self {
            connector,
            role,
            partition,
        }
    }

    async fn assume(&self) -> provider::Result {
        let base = self.connector.base().await;
        self.ask(&base).await.map_err(|error| {
            CredentialsError::provider_error(NotAssumed(self.without_external_id(error)))
        })
    }

    async fn ask(&self, base: &Arc<SdkConfig>) -> Result<Credentials, CallError> {
        let role = &*self.role;
        let config = SdkConfig::clone(base)
            .into_builder()
            .region(region(role, base))
            .build();
        let session_name = role.session_name.as_ref();
        let answer = self
            .connector
            .sts(&config, self.partition.clone())
            .assume_role()
            .role_arn(role.arn.as_str())
            .role_session_name(session_name.map_or(SESSION_NAME, |name| name.as_str()))
            .set_external_id(role.external_id.as_ref().map(|id| id.as_str().to_owned()))
            .send()
            .await;
        match answer {
            Ok(answer) => credentials(answer),
            Err(error) => {
                let mut error = CallError::new(Operation::AssumeRole, &error);
                if matches!(error.reason, Reason::Credentials | Reason::ExpiredToken) {
                    self.connector.forget(base).await;
                }
                error.message = format!("{}: {}", role.arn, error.message);
                Err(error)
            }
        }
    }

    /// AWS quotes a parameter that it refuses.
    fn without_external_id(&self, mut error: CallError) -> CallError {
        if let Some(id) = &self.role.external_id {
            error.message = error.message.replace(id.as_str(), "…");
        }
        error
    }
}

impl ProvideCredentials for RoleCredentials {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.assume())
    }
}

fn credentials(answer: AssumeRoleOutput) -> Result<Credentials, CallError> {
    let malformed = |why| CallError::malformed(Operation::AssumeRole, why);
    let given = answer.credentials.ok_or(malformed("no Credentials"))?;
    let expiration = SystemTime::try_from(given.expiration)
        .map_err(|_| malformed("an Expiration that is no time"))?;
    Ok(Credentials::new(
        given.access_key_id,
        given.secret_access_key,
        Some(given.session_token),
        Some(expiration),
        "AssumeRole",
    ))
}
