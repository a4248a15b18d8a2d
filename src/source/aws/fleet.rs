//! The accounts of AWS that are read, and how.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use tokio::time::Instant;

use super::{Args, Aws, Limits, Origin, Patience, Settings, Strategy, setup};
use crate::{
    counts::RequestCounts,
    policy::Policy,
    source::{Access, Discovery, Member, Progress, UsageError},
};

/// Knows which accounts there are, and makes their readers.
#[derive(Debug)]
pub struct Fleet {
    settings: Settings,
    strategy: Strategy,
    policy: Arc<Policy>,
    refresh_interval: Duration,
    counts: Arc<RequestCounts>,
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
        } = args;
        let settings = Settings {
            origin: Origin::DefaultChain { profile },
            max_concurrency: max_concurrency.into(),
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
            settings,
            strategy,
            policy,
            refresh_interval,
            counts,
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
        let mut aws = Aws::with_settings(
            self.settings.clone(),
            self.strategy,
            Arc::clone(&self.policy),
            self.refresh_interval,
            Arc::clone(&self.counts),
        );
        aws.watch(self.progress.clone());
        aws.rename(member.name.clone());
        aws
    }
}
