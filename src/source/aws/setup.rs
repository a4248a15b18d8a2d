//! How the SDK is set up: origin of the credentials, HTTP client, time-outs, retries.

use std::{ffi::OsString, path::PathBuf, time::Duration};

use aws_config::{
    BehaviorVersion, default_provider::region::DefaultRegionChain,
    meta::region::RegionProviderChain, profile::ProfileFileCredentialsProvider,
    provider_config::ProviderConfig,
};
use aws_smithy_http_client::{
    Builder, Connector,
    proxy::ProxyConfig,
    tls::{self, TlsContext, TrustStore},
};
use aws_smithy_runtime::client::retries::{RetryPartition, TokenBucket};
use aws_smithy_runtime_api::client::{
    http::SharedHttpClient, stalled_stream_protection::StalledStreamProtectionConfig,
};
use aws_smithy_types::{retry::RetryConfig, timeout::TimeoutConfig};
use aws_types::{SdkConfig, region::Region};
use rustls::pki_types::{CertificateDer, pem::PemObject};

use super::{credential_report::Patience, pace::Pace, paced::PacedClient};
use crate::source::UsageError;

/// IAM is global; this region signs its requests in the default partition.
const DEFAULT_REGION: &str = "us-east-1";

/// How the SDK is set up.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where credentials, region and endpoint come from.
    pub origin: Origin,
    /// How much each account is asked at once.
    pub pace: Pace,
    /// How much all accounts together are asked at once.
    pub max_total_concurrency: usize,
    /// The PEM bundle named by `AWS_CA_BUNDLE`, which the SDK doesn't read by itself
    /// (aws-sdk-rust#1362). As in the AWS CLI it takes the place of the system's roots.
    pub ca_bundle: Option<Vec<u8>>,
    /// How long calls may take, and how often they are made again.
    pub limits: Limits,
    /// How long a credential report that is being made is waited for.
    pub patience: Patience,
}

/// Where credentials, region and endpoint come from.
#[derive(Debug, Clone)]
pub enum Origin {
    /// The SDK's default chain: the environment, the shared config files, web identity, the
    /// container, the instance.
    DefaultChain {
        /// The profile of the shared config files; the default chain's choice if `None`.
        profile: Option<String>,
    },
    /// A configuration made elsewhere. Its HTTP client is kept if it has one; time-outs and retries
    /// are those of the [`Limits`].
    Config(Box<SdkConfig>),
}

/// How long calls to AWS may take, and how often they are made again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Until the connection is there.
    pub connect: Duration,
    /// Until the first byte of the answer.
    pub read: Duration,
    /// One attempt from end to end.
    pub attempt: Duration,
    /// All attempts and the pauses between them.
    pub operation: Duration,
    /// Attempts of one call, the first included.
    pub max_attempts: u32,
    /// The most that the first pause can be; the next ones double. The pause itself is random.
    pub first_backoff: Duration,
    /// The most that any pause can be.
    pub longest_backoff: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            read: Duration::from_secs(20),
            attempt: Duration::from_secs(30),
            operation: Duration::from_mins(2),
            max_attempts: 10,
            first_backoff: Duration::from_secs(1),
            longest_backoff: Duration::from_secs(20),
        }
    }
}

/// Reads the bundle that `AWS_CA_BUNDLE` names.
pub(super) fn ca_bundle(path: Option<OsString>) -> Result<Option<Vec<u8>>, UsageError> {
    let Some(path) = path.filter(|path| !path.is_empty()).map(PathBuf::from) else {
        return Ok(None);
    };
    let refuse = |why: String| UsageError(format!("AWS_CA_BUNDLE {}: {why}", path.display()));
    let pem = std::fs::read(&path).map_err(|error| refuse(error.to_string()))?;
    let certificates = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>();
    match certificates {
        Ok(certificates) if !certificates.is_empty() => Ok(Some(pem)),
        _ => Err(refuse("no PEM certificate in it".into())),
    }
}

/// The SDK's configuration: its origin's, with the project's own client, time-outs and retries.
/// Calls to AWS go through the gate; those that credentials are looked up with don't.
pub(super) async fn configure(settings: &Settings, client: &SharedHttpClient) -> SdkConfig {
    origin(settings, client.clone())
        .await
        .into_builder()
        .http_client(PacedClient {
            client: client.clone(),
            limit: settings.limits.attempt,
        })
        // Its grace would run out in the queue. Attempts have a limit from end to end.
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .build()
}

async fn origin(settings: &Settings, client: SharedHttpClient) -> SdkConfig {
    let (timeouts, retries) = (
        settings.limits.timeouts(),
        settings.limits.retries(u32::MAX),
    );
    match &settings.origin {
        Origin::DefaultChain { profile } => {
            let mut loader = aws_config::defaults(BehaviorVersion::latest())
                .http_client(client.clone())
                .timeout_config(timeouts)
                .retry_config(retries);
            let mut region = DefaultRegionChain::builder();
            if let Some(profile) = profile {
                region = region.profile_name(profile);
            }
            let region = RegionProviderChain::first_try(region.build())
                .or_else(Region::new(DEFAULT_REGION))
                .region()
                .await
                // A variable that is set but empty says nothing.
                .filter(|region| !region.as_ref().is_empty())
                .unwrap_or(Region::from_static(DEFAULT_REGION));
            if let Some(profile) = profile {
                // In the default chain credentials of the environment go before those of a profile,
                // even of one that was asked for: the wrong account would be read in silence.
                let provider = ProviderConfig::without_region()
                    .with_behavior_version(Some(BehaviorVersion::latest()))
                    .with_region(Some(region.clone()))
                    .with_http_client(client);
                let credentials = ProfileFileCredentialsProvider::builder()
                    .profile_name(profile)
                    .configure(&provider)
                    .build();
                loader = loader
                    .profile_name(profile)
                    .credentials_provider(credentials);
            }
            loader.region(region).load().await
        }
        Origin::Config(config) => {
            let region = config
                .region()
                .cloned()
                .unwrap_or(Region::new(DEFAULT_REGION));
            SdkConfig::clone(config)
                .into_builder()
                .behavior_version(BehaviorVersion::latest())
                .region(region)
                .timeout_config(timeouts)
                .retry_config(retries)
                .build()
        }
    }
}

/// The client of the settings' origin, or one that does what the SDK's own doesn't: heed
/// `AWS_CA_BUNDLE` and the proxy variables.
pub(super) fn http_client(settings: &Settings) -> SharedHttpClient {
    if let Origin::Config(config) = &settings.origin
        && let Some(client) = config.http_client()
    {
        return client;
    }
    let ca_bundle = settings.ca_bundle.clone();
    Builder::new().build_with_connector_fn(move |settings, components| {
        let mut connector = Connector::builder().proxy_config(ProxyConfig::from_env());
        connector.set_connector_settings(settings.cloned());
        if let Some(components) = components {
            connector.set_sleep_impl(components.sleep_impl());
        }
        let connector = connector.tls_provider(tls::Provider::Rustls(
            tls::rustls_provider::CryptoMode::AwsLc,
        ));
        match &ca_bundle {
            None => connector.build(),
            Some(pem) => {
                let roots = TrustStore::empty().with_pem_certificate(pem.as_slice());
                let context = TlsContext::builder()
                    .with_trust_store(roots)
                    .build()
                    .expect("only the trust store is set, which can't be refused");
                connector.tls_context(context).build()
            }
        }
    })
}

impl Limits {
    /// Those that don't count the time in the queue before the gate; for the others see
    /// [`PacedClient`] and [`super::pace::Lane::call`].
    fn timeouts(&self) -> TimeoutConfig {
        TimeoutConfig::builder()
            .connect_timeout(self.connect)
            .read_timeout(self.read)
            .build()
    }

    /// Adaptive: when IAM throttles, every call of the account slows down instead of failing.
    pub(super) fn retries(&self, most: u32) -> RetryConfig {
        RetryConfig::adaptive()
            .with_max_attempts(self.max_attempts.min(most))
            .with_initial_backoff(self.first_backoff)
            .with_max_backoff(self.longest_backoff)
    }
}

/// Retries are paid for from a bucket, so that an outage ends a refresh soon; being throttled costs
/// nothing, since waiting is the remedy.
pub(super) fn retry_partition() -> RetryPartition {
    RetryPartition::custom("account")
        .token_bucket(TokenBucket::builder().throttling_retry_cost(0).build())
        .build()
}
