//! What all accounts share: the HTTP client with its connections, the exporter's own credentials, and
//! the gate that their calls go through.

use std::sync::Arc;

use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_runtime::client::{identity::IdentityCache, retries::RetryPartition};
use aws_smithy_runtime_api::client::{http::SharedHttpClient, identity::SharedIdentityCache};
use aws_types::{SdkConfig, region::Region};
use tokio::{sync::Mutex, time::Instant};

use super::{
    attempts::{CountAttempts, RequireWholeDocuments},
    client::Api,
    pace::{Gate, Lane, Pace, Place},
    partition,
    role::RoleCredentials,
    setup::{Settings, configure, http_client, retry_partition},
};
use crate::{counts::RequestCounts, source::accounts::Role};

/// Attempts of the first call of a refresh at most. Nothing is lost yet if it fails, and a wrong
/// endpoint or proxy is told within seconds.
const IDENTITY_ATTEMPTS: u32 = 3;

/// What all accounts share.
#[derive(Debug)]
pub(super) struct Connector {
    settings: Settings,
    counts: Arc<RequestCounts>,
    /// One for all, whatever becomes of the credentials: it has the connections and the sessions.
    http: SharedHttpClient,
    gate: Arc<Gate>,
    base: Mutex<Option<Arc<SdkConfig>>>,
}

impl Connector {
    /// Makes no call yet.
    pub(super) fn new(settings: Settings, counts: Arc<RequestCounts>) -> Arc<Self> {
        Arc::new(Self {
            http: http_client(&settings),
            gate: Gate::new(settings.max_total_concurrency),
            settings,
            counts,
            base: Mutex::new(None),
        })
    }

    pub(super) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The SDK's configuration with the exporter's own credentials, made once.
    pub(super) async fn base(&self) -> Arc<SdkConfig> {
        let mut base = self.base.lock().await;
        if let Some(base) = &*base {
            return Arc::clone(base);
        }
        let made = Box::pin(configure(&self.settings, &self.http)).await;
        Arc::clone(base.insert(Arc::new(made)))
    }

    /// Has the configuration made anew if it is still this one: its credentials failed, and a
    /// profile's session token is read only once.
    pub(super) async fn forget(&self, failed: &Arc<SdkConfig>) {
        let mut base = self.base.lock().await;
        if base.as_ref().is_some_and(|base| Arc::ptr_eq(base, failed)) {
            *base = None;
        }
    }

    /// A lane of its own for calls that don't count as an account's.
    pub(super) fn lane(&self, pace: Pace) -> Arc<Lane> {
        Lane::new(Arc::clone(&self.gate), pace)
    }

    pub(super) fn iam(&self, config: &SdkConfig, partition: RetryPartition) -> aws_sdk_iam::Client {
        let config = aws_sdk_iam::config::Builder::from(config)
            .retry_partition(partition)
            .interceptor(RequireWholeDocuments)
            .interceptor(self.count())
            .build();
        aws_sdk_iam::Client::from_conf(config)
    }

    pub(super) fn sts(&self, config: &SdkConfig, partition: RetryPartition) -> aws_sdk_sts::Client {
        let config = aws_sdk_sts::config::Builder::from(config)
            .retry_config(self.settings.limits.retries(IDENTITY_ATTEMPTS))
            .retry_partition(partition)
            .interceptor(RequireWholeDocuments)
            .interceptor(self.count())
            .build();
        aws_sdk_sts::Client::from_conf(config)
    }

    pub(super) fn organizations(
        &self,
        config: &SdkConfig,
        partition: RetryPartition,
    ) -> aws_sdk_organizations::Client {
        // A document of JSON that was cut short is no document to the SDK's own reader.
        let config = aws_sdk_organizations::config::Builder::from(config)
            .retry_partition(partition)
            .interceptor(self.count())
            .build();
        aws_sdk_organizations::Client::from_conf(config)
    }

    fn count(&self) -> CountAttempts {
        CountAttempts(Arc::clone(&self.counts))
    }
}

/// What an account keeps from one refresh to the next: its lane, its retries and its credentials. The
/// SDK's clients are made for each refresh, since a thousand idle ones would take 20 MB.
#[derive(Debug)]
pub(super) struct Line {
    connector: Arc<Connector>,
    lane: Arc<Lane>,
    partition: RetryPartition,
    hop: Option<Hop>,
}

/// The way into another account.
#[derive(Debug)]
struct Hop {
    role: Arc<Role>,
    credentials: SharedCredentialsProvider,
    cache: SharedIdentityCache,
}

impl Hop {
    fn new(connector: &Arc<Connector>, role: Arc<Role>, partition: &RetryPartition) -> Self {
        let credentials =
            RoleCredentials::new(Arc::clone(connector), Arc::clone(&role), partition.clone());
        Self {
            role,
            credentials: SharedCredentialsProvider::new(credentials),
            // It renews them before they expire. Assuming the role has time limits of its own.
            cache: IdentityCache::lazy()
                .load_timeout(connector.settings.limits.operation)
                .max_partitions(1)
                .build(),
        }
    }
}

impl Line {
    /// A line to the account of the exporter's own credentials, or to that of a role.
    pub(super) fn new(connector: Arc<Connector>, role: Option<Arc<Role>>) -> Self {
        let partition = retry_partition();
        Self {
            lane: connector.lane(connector.settings.pace),
            hop: role.map(|role| Hop::new(&connector, role, &partition)),
            partition,
            connector,
        }
    }

    /// Begins to read the account once there is a place for it among those that are read, or at
    /// `deadline` at the latest.
    pub(super) async fn enter(&self, deadline: Instant) -> Place {
        self.lane.enter(deadline).await
    }

    /// The role that is assumed, if one is.
    pub(super) fn role(&self) -> Option<&Arc<Role>> {
        self.hop.as_ref().map(|hop| &hop.role)
    }

    pub(super) fn settings(&self) -> &Settings {
        &self.connector.settings
    }

    /// The calls to the account. None is made yet.
    pub(super) async fn open(&self) -> Api {
        let base = self.connector.base().await;
        let config = match &self.hop {
            None => Arc::clone(&base),
            Some(hop) => {
                let config = SdkConfig::clone(&base)
                    .into_builder()
                    .region(region(&hop.role, &base))
                    .credentials_provider(hop.credentials.clone())
                    .identity_cache(hop.cache.clone())
                    .build();
                Arc::new(config)
            }
        };
        Api {
            iam: self.connector.iam(&config, self.partition.clone()),
            connector: Arc::clone(&self.connector),
            partition: self.partition.clone(),
            lane: Arc::clone(&self.lane),
            limit: self.connector.settings.limits.operation,
            base,
        }
    }

    /// Gets new credentials at the next call: those of `api` failed.
    pub(super) async fn renew(&mut self, api: &Api) {
        match &mut self.hop {
            None => self.connector.forget(&api.base).await,
            Some(hop) => {
                *hop = Hop::new(&self.connector, Arc::clone(&hop.role), &self.partition);
            }
        }
    }
}

/// The region to call for a role: its own, the exporter's if that is in the same partition, or the
/// partition's first.
pub(super) fn region(role: &Role, base: &SdkConfig) -> Region {
    let chosen = role.region.as_ref().map(|region| region.as_str().into());
    let own = base
        .region()
        .filter(|region| partition::of_region(region.as_ref()) == &**role.arn.partition());
    chosen
        .map(|region: String| Region::new(region))
        .or_else(|| own.cloned())
        .unwrap_or(Region::from_static(partition::home_region(
            role.arn.partition(),
        )))
}
