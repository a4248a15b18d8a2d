//! The account's alias, read now and then.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::time::Instant;

use super::{client::Api, failure::CallError};
use crate::{counts::Operation, reason::Reason};

/// How long an alias is believed. Aliases hardly ever change, and a warm refresh should cost little.
const LIFETIME: TimeDelta = TimeDelta::hours(1);

/// The alias as last read, and when that was.
#[derive(Debug, Default)]
pub(super) struct Alias(Option<(DateTime<Utc>, Option<Arc<str>>)>);

impl Alias {
    /// The account's alias; the last one known if it can't be read.
    ///
    /// # Errors
    /// The role can't be assumed, for then nothing can be read.
    pub(super) async fn get(
        &mut self,
        api: &Api,
        now: DateTime<Utc>,
        deadline: Instant,
    ) -> Result<Option<Arc<str>>, CallError> {
        let known = match &self.0 {
            Some((read, alias)) if now - *read < LIFETIME => return Ok(alias.clone()),
            Some((_, alias)) => alias.clone(),
            None => None,
        };
        match api.alias(deadline).await {
            Ok(alias) => {
                self.0 = Some((now, alias.clone()));
                Ok(alias)
            }
            Err(error) if error.operation == Operation::AssumeRole => Err(error),
            Err(error) => {
                tracing::debug!(%error, "the account's alias is unknown");
                // A denial stays for a while; after anything else the next refresh asks again.
                if error.reason == Reason::AccessDenied {
                    self.0 = Some((now, known.clone()));
                }
                Ok(known)
            }
        }
    }
}
