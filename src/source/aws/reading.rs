//! One reading of an account, as its strategy goes about it.

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use tokio::time::Instant;

use super::{
    Aws, Strategy,
    auto::{self, Dated},
    client::Api,
    credential_report,
    failure::CallError,
    list,
};
use crate::{
    counts::Operation,
    inventory::{Account, Inventory, Listing, User},
    reason::Reason,
    source::{
        Remark, SourceError,
        report::{self, Row},
    },
};

/// The oldest credential report that `auto` believes. AWS makes a new one every four hours, so this
/// much is a sign that something is wrong.
const OLDEST_REPORT: TimeDelta = TimeDelta::hours(24);

impl Aws {
    /// Reads the account's users and keys.
    pub(super) async fn read(
        &mut self,
        api: &Api,
        now: DateTime<Utc>,
        deadline: Instant,
    ) -> Result<Inventory, CallError> {
        let owner = match &self.owner {
            Some(owner) if self.line.role().is_some() => owner.clone(),
            _ => api.caller(deadline).await?,
        };
        self.meet(owner.clone());
        let account = Account {
            id: owner.account,
            partition: owner.partition,
            name: self.name.clone(),
            alias: self.alias.get(api, now, deadline).await?,
        };
        match self.strategy {
            Strategy::List => {
                Box::pin(list::collect(api, account, &self.progress, now, deadline)).await
            }
            Strategy::Report => {
                let report = self.report(api, deadline).await?;
                Ok(from_report(account, &report, now))
            }
            Strategy::Auto => match self.report(api, deadline).await {
                Ok(dated) if now - dated.generated < OLDEST_REPORT => {
                    if std::mem::take(&mut self.lists_instead) {
                        self.remarks.push(Remark::ReportUsable);
                    }
                    let read = auto::collect(
                        api,
                        account,
                        dated,
                        &mut self.memory,
                        &self.progress,
                        now,
                        deadline,
                    );
                    let inventory = read.await;
                    self.remarks.extend(self.memory.remark());
                    Ok(inventory)
                }
                Ok(dated) => {
                    let generated = dated.generated.to_rfc3339_opts(SecondsFormat::Secs, true);
                    self.list_instead(format!("it is of {generated}, older than 24 h"));
                    Box::pin(list::collect(api, account, &self.progress, now, deadline)).await
                }
                // With these, listing would fail as well, and slowly.
                Err(error)
                    if matches!(
                        error.reason,
                        Reason::Credentials | Reason::ExpiredToken | Reason::Network | Reason::Tls
                    ) || error.operation == Operation::AssumeRole =>
                {
                    Err(error)
                }
                Err(error) => {
                    self.list_instead(SourceError::from(error).message);
                    Box::pin(list::collect(api, account, &self.progress, now, deadline)).await
                }
            },
        }
    }

    /// The newest credential report, parsed.
    async fn report(&self, api: &Api, deadline: Instant) -> Result<Dated, CallError> {
        let fetched =
            credential_report::fetch(api, self.line.settings().patience, deadline).await?;
        let malformed = |what: String| CallError::malformed(Operation::GetCredentialReport, what);
        let report = report::parse(&fetched.csv).map_err(|error| malformed(error.to_string()))?;
        // Every report has the root user's row, so one without rows isn't that of an empty account.
        let account = report.owner.as_ref().map(|owner| owner.account);
        if account.is_none() || account != self.owner.as_ref().map(|owner| owner.account) {
            return Err(malformed(match account {
                None => "it has no rows, not even the root user's".into(),
                Some(other) => format!("it is of account {other}, not of the caller's"),
            }));
        }
        Ok(Dated {
            report,
            generated: fetched.generated,
        })
    }

    /// Says, once, that users are listed one by one because the report can't be used.
    fn list_instead(&mut self, why: String) {
        if !std::mem::replace(&mut self.lists_instead, true) {
            self.remarks.push(Remark::ListsInstead { why });
        }
    }
}

/// The account as the report alone tells it.
fn from_report(account: Account, dated: &Dated, now: DateTime<Utc>) -> Inventory {
    let users: Vec<User> = dated.report.rows.iter().map(Row::to_user).collect();
    Inventory {
        account,
        user_count: (dated.report.listing == Listing::Complete).then_some(users.len()),
        users,
        root: dated.report.root,
        data_time: now.min(dated.generated),
        listing: dated.report.listing,
        troubles: Vec::new(),
    }
}
