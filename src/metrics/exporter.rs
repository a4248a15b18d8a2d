//! The exporter's metrics of itself: what it was built from, what it asked of AWS, how its refreshes
//! went.

use std::{fmt, sync::Arc};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelSet, MetricEncoder, NoLabelSet},
    metrics::MetricType,
};

use super::{keys::gauge, labels::UnixSeconds};
use crate::{
    config::{ReloadState, Reloads},
    counts::{Operation, RefreshCounts, RequestCounts, StorageCount, StorageCounts},
    key::AccountId,
    reason::Reason,
};

/// The version of this package.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The Git revision that this was built from, 12 digits of it, or `unknown`.
pub const REVISION: &str = env!("BUILD_REVISION");
/// The version of the Rust compiler that built this.
pub const RUSTC: &str = env!("BUILD_RUSTC");

/// The `account_id` of an account whose id could not be learned: an empty one would be no label at
/// all.
pub(super) const UNKNOWN_ACCOUNT: &str = "unknown";

/// The families that count what the exporter did since its start, and its build information.
#[derive(Debug)]
pub struct ExporterMetrics {
    /// Calls to AWS.
    pub requests: Arc<RequestCounts>,
    /// Refreshes by account.
    pub refreshes: Arc<RefreshCounts>,
    /// Saves of what outlives the process, if it is saved at all.
    pub storage: Option<Arc<StorageCounts>>,
    /// Loads of the configuration.
    pub reloads: Reloads,
}

impl Collector for ExporterMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.encode_refreshes(&mut encoder)?;
        self.encode_requests(&mut encoder)?;
        if let Some(storage) = &self.storage {
            encode_storage(storage.now(), &mut encoder)?;
        }
        self.encode_reloads(&mut encoder)?;
        gauge(
            &mut encoder,
            "iam_key_exporter_build_info",
            "The version, Git revision and Rust compiler that this exporter was built from.",
        )?
        .encode_family(&[
            ("version", VERSION),
            ("revision", REVISION),
            ("rustc", RUSTC),
        ])?
        .encode_gauge(&1_u32)
    }
}

impl ExporterMetrics {
    fn encode_refreshes(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        // One reading for both families, so that failures never outnumber attempts.
        let accounts = self.refreshes.all();
        let id = |account: &Option<AccountId>| {
            account.map_or_else(|| UNKNOWN_ACCOUNT.to_owned(), |id| id.to_string())
        };
        let mut family = counter(
            encoder,
            "iam_key_exporter_refreshes",
            "Refreshes of the account since the start, failed ones included; account_id is unknown while the id is.",
        )?;
        for (account, count) in &accounts {
            add(&mut family, &[("account_id", id(account))], count.attempts)?;
        }
        let mut family = counter(
            encoder,
            "iam_key_exporter_refresh_failures",
            "Refreshes since the start that did not read the account completely, by reason; one that failed for two \
             reasons counts under both.",
        )?;
        for (account, count) in &accounts {
            let id = id(account);
            for reason in Reason::ALL {
                add(
                    &mut family,
                    &[("account_id", id.as_str()), ("reason", reason.as_str())],
                    count.failures[reason as usize],
                )?;
            }
        }
        Ok(())
    }

    fn encode_requests(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut family = counter(
            encoder,
            "iam_key_exporter_aws_requests",
            "Calls to AWS since the start, by API operation; each attempt counts, retries too.",
        )?;
        for operation in Operation::ALL {
            add(
                &mut family,
                &[("operation", operation.as_str())],
                self.requests.attempts(operation),
            )?;
        }
        let mut family = counter(
            encoder,
            "iam_key_exporter_aws_request_failures",
            "Calls to AWS since the start that failed, by API operation and reason; each attempt counts, also one that \
             a retry made good.",
        )?;
        for operation in Operation::ALL {
            for reason in Reason::ALL {
                add(
                    &mut family,
                    &[
                        ("operation", operation.as_str()),
                        ("reason", reason.as_str()),
                    ],
                    self.requests.failures(operation, reason),
                )?;
            }
        }
        let mut family = counter(
            encoder,
            "iam_key_exporter_aws_throttles",
            "Calls to AWS since the start that AWS throttled, by API operation; each attempt counts.",
        )?;
        for operation in Operation::ALL {
            add(
                &mut family,
                &[("operation", operation.as_str())],
                self.requests.failures(operation, Reason::Throttled),
            )?;
        }
        Ok(())
    }
}

fn encode_storage(count: StorageCount, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    counter(
        encoder,
        "iam_key_exporter_storage_writes",
        "Writes of the file at --storage.path since the start, failed ones included.",
    )?
    .encode_counter::<NoLabelSet, u64, f64>(&count.writes, None)?;
    counter(
        encoder,
        "iam_key_exporter_storage_write_failures",
        "Writes of the file at --storage.path since the start that failed; the file before stays as it was.",
    )?
    .encode_counter::<NoLabelSet, u64, f64>(&count.failures, None)?;
    let mut last_success = gauge(
        encoder,
        "iam_key_exporter_storage_last_write_success_timestamp_seconds",
        "When the file at --storage.path was last written, be it before the start; absent until it is.",
    )?;
    match count.last_success {
        Some(time) => last_success.encode_gauge(&UnixSeconds(time)),
        None => Ok(()),
    }
}

impl ExporterMetrics {
    fn encode_reloads(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let ReloadState {
            is_successful,
            last_success,
        } = self.reloads.state();
        gauge(
            encoder,
            "iam_key_exporter_config_last_reload_successful",
            "1 if the last attempt to load the configuration succeeded, 0 if it failed and the configuration from before \
             is still in force.",
        )?
        .encode_gauge(&u32::from(is_successful))?;
        gauge(
            encoder,
            "iam_key_exporter_config_last_reload_success_timestamp_seconds",
            "When the configuration in force was loaded.",
        )?
        .encode_gauge(&UnixSeconds(last_success))
    }
}

/// Begins a family of counters. The encoder adds `_total` to the name in each sample.
pub(super) fn counter<'e>(
    encoder: &'e mut DescriptorEncoder<'_>,
    name: &'e str,
    help: &str,
) -> Result<MetricEncoder<'e>, fmt::Error> {
    encoder.encode_descriptor(name, help, None, MetricType::Counter)
}

fn add(family: &mut MetricEncoder<'_>, labels: &impl EncodeLabelSet, count: u64) -> fmt::Result {
    family
        .encode_family(labels)?
        .encode_counter::<NoLabelSet, u64, f64>(&count, None)
}
