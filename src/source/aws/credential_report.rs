//! The life of a credential report: asked for, made, fetched, expired.
//!
//! AWS makes a report at most every four hours; until then `GenerateCredentialReport` answers
//! COMPLETE and `GetCredentialReport` gives the last one. An account without a report answers
//! `ReportNotPresent`, then `ReportInProgress`. `LimitExceeded` means to wait.
//!
//! Source: AWS IAM User Guide, "Generate credential reports for your AWS account"; IAM API
//! Reference, both operations.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use tokio::time::Instant;

use super::{
    client::{Api, FetchedReport, Generation},
    failure::CallError,
};
use crate::{counts::Operation, reason::Reason};

/// How long a report that is being made is waited for.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// The pause before the second look; later ones double.
    pub first_pause: Duration,
    /// The longest pause between two looks.
    pub longest_pause: Duration,
    /// When to give up.
    pub total: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            first_pause: Duration::from_secs(1),
            longest_pause: Duration::from_secs(10),
            total: Duration::from_mins(2),
        }
    }
}

/// Fetches the newest report there is, waiting for one that is being made.
pub(super) async fn fetch(
    api: &Api,
    patience: Patience,
    deadline: Instant,
) -> Result<FetchedReport, CallError> {
    let give_up = deadline.min(Instant::now() + patience.total);
    let mut pauses = ExponentialBuilder::new()
        .with_min_delay(patience.first_pause)
        .with_max_delay(patience.longest_pause)
        .without_max_times()
        .build();
    loop {
        let state = look(api, deadline).await?;
        let waited_for = match state {
            Look::Fetched(report) => return Ok(report),
            Look::Wait(answer) => answer,
        };
        let pause = pauses.next().unwrap_or(patience.longest_pause);
        if Instant::now() + pause > give_up {
            return last_resort(api, deadline, &waited_for, patience).await;
        }
        tokio::time::sleep(pause).await;
    }
}

/// What one look at the report's life found.
enum Look {
    Fetched(FetchedReport),
    /// It isn't there yet; why, for the message if it never comes.
    Wait(String),
}

/// Asks for a report and, if there is one, fetches it.
async fn look(api: &Api, deadline: Instant) -> Result<Look, CallError> {
    match api.generate_report(deadline).await {
        Ok(Generation::UnderWay) => return Ok(Look::Wait("it is being made".into())),
        Ok(Generation::Complete) => {}
        // There may be a report that somebody else asked for: asking may be limited or denied where
        // fetching isn't.
        Err(error)
            if matches!(
                error.reason,
                Reason::ReportUnavailable | Reason::AccessDenied
            ) =>
        {
            return match api.report(deadline).await {
                Ok(report) => Ok(Look::Fetched(report)),
                Err(_) if error.reason == Reason::AccessDenied => Err(error),
                Err(other) if other.reason == Reason::ReportUnavailable => {
                    Ok(Look::Wait(error.message))
                }
                Err(other) => Err(other),
            };
        }
        Err(error) => return Err(error),
    }
    match api.report(deadline).await {
        Ok(report) => Ok(Look::Fetched(report)),
        // Between the two calls it may have expired, or be made anew.
        Err(error) if error.reason == Reason::ReportUnavailable => Ok(Look::Wait(error.message)),
        Err(error) => Err(error),
    }
}

/// The report as it is, old or not, once waiting is over: its age is judged by the strategy.
async fn last_resort(
    api: &Api,
    deadline: Instant,
    waited_for: &str,
    patience: Patience,
) -> Result<FetchedReport, CallError> {
    api.report(deadline)
        .await
        .map_err(|error| match error.reason {
            Reason::ReportUnavailable => CallError {
                operation: Operation::GetCredentialReport,
                reason: Reason::ReportUnavailable,
                code: error.code,
                message: format!(
                    "no credential report after {} s ({waited_for})",
                    patience.total.as_secs()
                ),
            },
            _ => error,
        })
}
