//! The accounts of AWS that are read, and how.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use tokio::time::Instant;

use super::{
    Args, Aws, Limits, Origin, Pace, Patience, Settings, Strategy,
    connector::{Connector, Line},
    setup,
};
use crate::{
    counts::RequestCounts,
    policy::Policy,
    source::{Access, Discovery, Member, Progress, UsageError},
};

/// Knows which accounts there are, and makes their readers.
#[derive(Debug)]
pub struct Fleet {
    connector: Arc<Connector>,
    strategy: Strategy,
    policy: Arc<Policy>,
    refresh_interval: Duration,
    progress: Progress,
}

impl Fleet {
    /// The account of the default credentials or those of a profile.
    ///
    /// Fails if `AWS_CA_BUNDLE` names no bundle that can be used.
    pub fn new(
        args: Args,
        policy: Arc<Policy>,
        refresh_interval: Duration,
        counts: Arc<RequestCounts>,
    ) -> Result<Self, UsageError> {
        let Args {
            strategy,
            profile,
            max_concurrency,
            max_total_concurrency,
            requests_per_second,
        } = args;
        let settings = Settings {
            origin: Origin::DefaultChain { profile },
            pace: Pace {
                at_once: max_concurrency.into(),
                per_second: Some(requests_per_second),
            },
            max_total_concurrency: max_total_concurrency.into(),
            ca_bundle: setup::ca_bundle(std::env::var_os("AWS_CA_BUNDLE"))?,
            limits: Limits::default(),
            patience: Patience::default(),
        };
        Ok(Self::with_settings(
            settings,
            strategy,
            policy,
            refresh_interval,
            counts,
        ))
    }

    /// The same, with the SDK set up in another way than by arguments and environment.
    pub fn with_settings(
        settings: Settings,
        strategy: Strategy,
        policy: Arc<Policy>,
        refresh_interval: Duration,
        counts: Arc<RequestCounts>,
    ) -> Self {
        Self {
            connector: Connector::new(settings, counts),
            strategy,
            policy,
            refresh_interval,
            progress: Progress::default(),
        }
    }

    /// Tells `progress` of the users found and read by the readers made from now on.
    pub fn watch(&mut self, progress: Progress) {
        self.progress = progress;
    }

    /// Which accounts there are.
    #[expect(
        clippy::unused_async,
        reason = "the account of one's own credentials needs no look"
    )]
    pub async fn discover(&mut self, _now: DateTime<Utc>, _deadline: Instant) -> Discovery {
        Discovery::only(Member {
            account: None,
            name: None,
            access: Access::Own,
        })
    }

    /// A new reader of an account.
    pub fn reader(&mut self, member: &Member) -> Aws {
        let role = match &member.access {
            Access::Role(role) => Some(Arc::clone(role)),
            Access::Own | Access::Whole => None,
        };
        let mut aws = Aws::new(
            Line::new(Arc::clone(&self.connector), role),
            self.strategy,
            Arc::clone(&self.policy),
            self.refresh_interval,
        );
        aws.watch(self.progress.clone());
        aws.rename(member.name.clone());
        aws
    }
}
