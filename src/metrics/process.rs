//! The usual metrics of the process itself, from Linux's `/proc`.

/// The `process_*` families; none where there is no `/proc` to read them from.
///
/// Source of names and meanings: Prometheus, "Writing client libraries", process metrics.
#[derive(Debug)]
pub struct ProcessMetrics {
    /// When the process started, in Unix seconds.
    #[cfg(target_os = "linux")]
    start: Option<f64>,
}

impl Default for ProcessMetrics {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(not(target_os = "linux"))]
mod elsewhere {
    use std::fmt;

    use prometheus_client::{collector::Collector, encoding::DescriptorEncoder};

    use super::ProcessMetrics;

    impl ProcessMetrics {
        /// The metrics of this process: none.
        pub fn new() -> Self {
            Self {}
        }
    }

    impl Collector for ProcessMetrics {
        fn encode(&self, _: DescriptorEncoder<'_>) -> fmt::Result {
            Ok(())
        }
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use std::fmt;

    use procfs::{
        boot_time_secs, page_size,
        process::{LimitValue, Process, Stat},
        ticks_per_second,
    };
    use prometheus_client::{
        collector::Collector,
        encoding::{DescriptorEncoder, EncodeGaugeValue, NoLabelSet},
    };

    use super::ProcessMetrics;
    use crate::metrics::{exporter::counter, keys::gauge};

    impl ProcessMetrics {
        /// The metrics of this process. When it started is read here, once: it is the one value
        /// that can't change, and the dearest to read.
        pub fn new() -> Self {
            let start = Process::myself()
                .and_then(|process| process.stat())
                .and_then(|stat| Ok(start_time(&stat, boot_time_secs()?)));
            Self { start: start.ok() }
        }
    }

    /// What can't be read is left out: metrics of the process are no reason to fail a scrape.
    impl Collector for ProcessMetrics {
        fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
            let encoder = &mut encoder;
            if let Some(start) = self.start {
                family(
                    encoder,
                    "process_start_time_seconds",
                    "When the process started, in Unix time.",
                    &start,
                )?;
            }
            let Ok(process) = Process::myself() else {
                return Ok(());
            };
            if let Ok(stat) = process.stat() {
                encode_stat(encoder, &stat)?;
            }
            if let Ok(open) = process.fd_count() {
                family(
                    encoder,
                    "process_open_fds",
                    "File descriptors that the process has open.",
                    &open,
                )?;
            }
            let Ok(limits) = process.limits() else {
                return Ok(());
            };
            if let LimitValue::Value(most) = limits.max_open_files.soft_limit {
                family(
                    encoder,
                    "process_max_fds",
                    "File descriptors that the process may have open; absent without a limit.",
                    &most,
                )?;
            }
            if let LimitValue::Value(most) = limits.max_address_space.soft_limit {
                family(
                    encoder,
                    "process_virtual_memory_max_bytes",
                    "Virtual memory that the process may have, in bytes; absent without a limit.",
                    &most,
                )?;
            }
            Ok(())
        }
    }

    fn encode_stat(encoder: &mut DescriptorEncoder<'_>, stat: &Stat) -> fmt::Result {
        counter(
            encoder,
            "process_cpu_seconds",
            "Time that the process has spent on a CPU, in user and system mode, in seconds.",
        )?
        .encode_counter::<NoLabelSet, f64, f64>(&seconds(stat.utime + stat.stime), None)?;
        family(
            encoder,
            "process_virtual_memory_bytes",
            "Virtual memory of the process, in bytes.",
            &stat.vsize,
        )?;
        family(
            encoder,
            "process_resident_memory_bytes",
            "Resident memory of the process, in bytes.",
            &(stat.rss * page_size()),
        )?;
        family(
            encoder,
            "process_threads",
            "Threads of the process.",
            &stat.num_threads,
        )
    }

    fn family(
        encoder: &mut DescriptorEncoder<'_>,
        name: &str,
        help: &str,
        value: &impl EncodeGaugeValue,
    ) -> fmt::Result {
        gauge(encoder, name, help)?.encode_gauge(value)
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "Unix seconds stay below 2^53, where f64 is exact"
    )]
    fn start_time(stat: &Stat, boot: u64) -> f64 {
        boot as f64 + seconds(stat.starttime)
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "a clock of 100 ticks a second stays below 2^53 for longer than Linux has existed"
    )]
    fn seconds(ticks: u64) -> f64 {
        ticks as f64 / ticks_per_second() as f64
    }
}
