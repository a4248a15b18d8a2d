//! The calls to AWS: how the SDK is set up, and one method a call.

use std::{ffi::OsString, path::PathBuf, sync::Arc, time::Duration};

use aws_config::{
    BehaviorVersion, default_provider::region::DefaultRegionChain,
    meta::region::RegionProviderChain, profile::ProfileFileCredentialsProvider,
    provider_config::ProviderConfig,
};
use aws_sdk_iam::types::ReportStateType;
use aws_smithy_http_client::{
    Builder, Connector,
    proxy::ProxyConfig,
    tls::{self, TlsContext, TrustStore},
};
use aws_smithy_runtime::client::retries::{RetryPartition, TokenBucket};
use aws_smithy_runtime_api::{
    box_error::BoxError,
    client::{
        http::SharedHttpClient,
        interceptors::{
            Intercept,
            context::{AfterDeserializationInterceptorContextRef, FinalizerInterceptorContextRef},
            dyn_dispatch_hint,
        },
        orchestrator::{HttpResponse, Metadata},
        result::SdkError,
        runtime_components::RuntimeComponents,
    },
};
use aws_smithy_types::{
    config_bag::ConfigBag, error::metadata::ProvideErrorMetadata, retry::RetryConfig,
    timeout::TimeoutConfig,
};
use aws_types::{SdkConfig, region::Region};
use chrono::{DateTime, Utc};
use quick_xml::events::Event;
use rustls::pki_types::{CertificateDer, pem::PemObject};
use tokio::{sync::Semaphore, time::Instant};

use super::{
    credential_report::Patience,
    failure::{CallError, NotWhole, attempt_reason},
};
use crate::{
    counts::{Operation, RequestCounts},
    key::{AccessKey, ArnOwner, KeyName, KeyStatus, LastUse, UsedAt},
    source::UsageError,
};

/// The most that IAM gives on one page.
const PAGE: i32 = 1000;

/// Attempts of the first call of a refresh at most. Nothing is lost yet if it fails, and a wrong
/// endpoint or proxy is told within seconds.
const IDENTITY_ATTEMPTS: u32 = 3;

/// IAM is global; this region signs its requests in the default partition.
const DEFAULT_REGION: &str = "us-east-1";

/// How the SDK is set up.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where credentials, region and endpoint come from.
    pub origin: Origin,
    /// Calls under way at once.
    pub max_concurrency: usize,
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

/// A connection to one account.
#[derive(Debug)]
pub(super) struct Api {
    iam: aws_sdk_iam::Client,
    sts: aws_sdk_sts::Client,
    permits: Semaphore,
    max_concurrency: usize,
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

/// A page of a listing: its items, and where the next one starts.
pub(super) struct Page<T> {
    pub(super) items: Vec<T>,
    pub(super) next: Option<String>,
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
    /// Sets the SDK up with the default credential and region chains. No call is made yet.
    pub(super) async fn connect(settings: &Settings, counts: Arc<RequestCounts>) -> Self {
        let config = configure(settings).await;
        let partition = retry_partition();
        let iam = aws_sdk_iam::config::Builder::from(&config)
            .retry_partition(partition.clone())
            .interceptor(RequireWholeDocuments)
            .interceptor(CountAttempts(counts.clone()))
            .build();
        let sts = aws_sdk_sts::config::Builder::from(&config)
            .retry_config(settings.limits.retries(IDENTITY_ATTEMPTS))
            .retry_partition(partition)
            .interceptor(RequireWholeDocuments)
            .interceptor(CountAttempts(counts))
            .build();
        Self {
            iam: aws_sdk_iam::Client::from_conf(iam),
            sts: aws_sdk_sts::Client::from_conf(sts),
            permits: Semaphore::new(settings.max_concurrency),
            max_concurrency: settings.max_concurrency,
        }
    }

    /// Calls that may be under way at once.
    pub(super) fn max_concurrency(&self) -> usize {
        self.max_concurrency
    }

    /// Makes one call, retries included, within the concurrency allowed and before `deadline`.
    async fn call<T, E>(
        &self,
        operation: Operation,
        deadline: Instant,
        request: impl Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    ) -> Result<T, CallError>
    where
        E: std::error::Error + ProvideErrorMetadata + 'static,
    {
        let permitted = async {
            let _permit = self.permits.acquire().await;
            request.await
        };
        match tokio::time::timeout_at(deadline, permitted).await {
            Ok(answer) => answer.map_err(|error| CallError::new(operation, &error)),
            Err(_) => Err(CallError::out_of_time(operation)),
        }
    }

    /// The account and partition that the credentials belong to.
    pub(super) async fn caller(&self, deadline: Instant) -> Result<ArnOwner, CallError> {
        let operation = Operation::GetCallerIdentity;
        let answer = self
            .call(operation, deadline, self.sts.get_caller_identity().send())
            .await?;
        let arn = answer.arn().unwrap_or_default();
        arn.parse()
            .map_err(|error: crate::key::BadArn| CallError::malformed(operation, error.to_string()))
    }

    /// The account's alias, if it has one.
    pub(super) async fn alias(&self, deadline: Instant) -> Result<Option<Arc<str>>, CallError> {
        let answer = self
            .call(
                Operation::ListAccountAliases,
                deadline,
                self.iam.list_account_aliases().send(),
            )
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
            .call(
                Operation::GetAccountSummary,
                deadline,
                self.iam.get_account_summary().send(),
            )
            .await?;
        let entry = aws_sdk_iam::types::SummaryKeyType::AccountAccessKeysPresent;
        Ok(answer
            .summary_map()
            .and_then(|map| map.get(&entry))
            .map(|count| *count > 0))
    }

    /// The names of the users on one page of `ListUsers`.
    pub(super) async fn users(
        &self,
        marker: Option<String>,
        deadline: Instant,
    ) -> Result<Page<Arc<str>>, CallError> {
        let operation = Operation::ListUsers;
        let request = self
            .iam
            .list_users()
            .max_items(PAGE)
            .set_marker(marker.clone());
        let answer = self.call(operation, deadline, request.send()).await?;
        Ok(Page {
            items: answer
                .users()
                .iter()
                .map(|user| user.user_name().into())
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
        let answer = self.call(operation, deadline, request.send()).await?;
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
            .call(
                operation,
                deadline,
                self.iam.get_access_key_last_used().access_key_id(id).send(),
            )
            .await?;
        let Some(used) = answer.access_key_last_used() else {
            return Err(CallError::malformed(operation, "no AccessKeyLastUsed"));
        };
        Ok(match used.last_used_date() {
            None => LastUse::Never,
            Some(date) => match utc(date) {
                None => LastUse::Unknown,
                Some(time) => LastUse::At(UsedAt {
                    time,
                    service: used.service_name().into(),
                    region: used.region().into(),
                }),
            },
        })
    }

    /// Asks for a new credential report. AWS makes one only if the last is older than four hours.
    pub(super) async fn generate_report(&self, deadline: Instant) -> Result<Generation, CallError> {
        let answer = self
            .call(
                Operation::GenerateCredentialReport,
                deadline,
                self.iam.generate_credential_report().send(),
            )
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
            .call(operation, deadline, self.iam.get_credential_report().send())
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

/// The SDK's configuration: its origin's, with the project's own client, time-outs and retries.
async fn configure(settings: &Settings) -> SdkConfig {
    let (timeouts, retries) = (
        settings.limits.timeouts(),
        settings.limits.retries(u32::MAX),
    );
    match &settings.origin {
        Origin::DefaultChain { profile } => {
            let client = http_client(settings.ca_bundle.clone());
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
                .await;
            if let Some(profile) = profile {
                // In the default chain credentials of the environment go before those of a profile,
                // even of one that was asked for: the wrong account would be read in silence.
                let provider = ProviderConfig::without_region()
                    .with_behavior_version(Some(BehaviorVersion::latest()))
                    .with_region(region.clone())
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
            let client = config
                .http_client()
                .unwrap_or_else(|| http_client(settings.ca_bundle.clone()));
            let region = config
                .region()
                .cloned()
                .unwrap_or(Region::new(DEFAULT_REGION));
            SdkConfig::clone(config)
                .into_builder()
                .behavior_version(BehaviorVersion::latest())
                .http_client(client)
                .region(region)
                .timeout_config(timeouts)
                .retry_config(retries)
                .build()
        }
    }
}

/// The SDK's own client reads neither `AWS_CA_BUNDLE` nor the proxy variables, so it is built here.
fn http_client(ca_bundle: Option<Vec<u8>>) -> SharedHttpClient {
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
    fn timeouts(&self) -> TimeoutConfig {
        TimeoutConfig::builder()
            .connect_timeout(self.connect)
            .read_timeout(self.read)
            .operation_attempt_timeout(self.attempt)
            .operation_timeout(self.operation)
            .build()
    }

    /// Adaptive: when IAM throttles, every call of the account slows down instead of failing.
    fn retries(&self, most: u32) -> RetryConfig {
        RetryConfig::adaptive()
            .with_max_attempts(self.max_attempts.min(most))
            .with_initial_backoff(self.first_backoff)
            .with_max_backoff(self.longest_backoff)
    }
}

/// Retries are paid for from a bucket, so that an outage ends a refresh soon; being throttled costs
/// nothing, since waiting is the remedy.
fn retry_partition() -> RetryPartition {
    RetryPartition::custom("account")
        .token_bucket(TokenBucket::builder().throttling_retry_cost(0).build())
        .build()
}

/// Refuses answers that are not whole. The SDK's XML reader takes a document that was cut short for
/// the end of it, so half a list of users would pass for the list of users.
#[derive(Debug)]
struct RequireWholeDocuments;

#[dyn_dispatch_hint]
impl Intercept for RequireWholeDocuments {
    fn name(&self) -> &'static str {
        "RequireWholeDocuments"
    }

    fn read_after_deserialization(
        &self,
        context: &AfterDeserializationInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        // An error, be it AWS's or that of a connection cut in the middle, speaks for itself.
        if context.output_or_error().is_err() {
            return Ok(());
        }
        let response = context.response();
        let body = response.body().bytes().unwrap_or_default();
        if is_whole(body) {
            Ok(())
        } else {
            Err(NotWhole.into())
        }
    }
}

/// Whether the text is one XML element, opened, closed, and well-formed in between.
fn is_whole(document: &[u8]) -> bool {
    let mut reader = quick_xml::Reader::from_reader(document);
    let mut depth = 0_u32;
    let mut roots = 0_u32;
    loop {
        match reader.read_event() {
            Ok(Event::Start(_)) => {
                roots += u32::from(depth == 0);
                depth += 1;
            }
            // The reader itself refuses an end without its start.
            Ok(Event::End(_)) => depth -= 1,
            Ok(Event::Empty(_)) => roots += u32::from(depth == 0),
            Ok(Event::Eof) => return depth == 0 && roots == 1,
            Ok(_) => {}
            Err(_) => return false,
        }
    }
}

/// Counts each attempt of each call, and why it failed.
#[derive(Debug)]
struct CountAttempts(Arc<RequestCounts>);

#[dyn_dispatch_hint]
impl Intercept for CountAttempts {
    fn name(&self) -> &'static str {
        "CountAttempts"
    }

    fn read_after_attempt(
        &self,
        context: &FinalizerInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let operation = config
            .load::<Metadata>()
            .and_then(|metadata| Operation::from_name(metadata.name()));
        if let Some(operation) = operation {
            let status = context.response().map(HttpResponse::status);
            let failure = match context.output_or_error() {
                Some(Err(error)) => Some(attempt_reason(error, status)),
                Some(Ok(_)) | None => None,
            };
            self.0.count(operation, failure);
        }
        Ok(())
    }
}
