//! iam-key-exporter watches the age of every AWS IAM access key.
//!
//! ```text
//!  sources (I/O in)      core (pure)              surfaces (I/O out)
//!  source::aws     ─┐    inventory → snapshot  ┌─ metrics, served by web at /metrics
//!  source::report  ─┼─▶  key, policy,         ─┼─ web: page, API and probes
//!  source::demo    ─┘    rotation              └─ check, plan: a terminal, CI (each reads once)
//!         ▲ refresh: interval, jitter, time-out, back-off; keeps the last good data
//! ```
//!
//! Surfaces and sources know the core; the core knows nobody. [`refresh`] publishes one immutable
//! [`snapshot::Snapshot`] and every reader computes ages and verdicts from it with one `now`, taken
//! at its own edge. [`serve`] is the only place that spawns long-lived tasks.
//!
//! [`rules`] and [`dashboards`] are files for Prometheus and Grafana that the binary carries along.

pub mod check;
pub mod cli;
pub mod clock;
pub mod config;
pub mod counts;
pub mod dashboards;
pub mod glob;
mod html;
mod intern;
pub mod inventory;
pub mod key;
pub mod logging;
pub mod metrics;
pub mod plan;
pub mod policy;
pub mod reason;
pub mod refresh;
pub mod rotation;
pub mod rules;
pub mod serve;
pub mod shard;
pub mod snapshot;
pub mod source;
pub mod storage;
mod visible;
pub mod web;
pub mod worklist;
pub mod yaml;
