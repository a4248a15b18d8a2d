//! iam-key-exporter watches the age of AWS IAM access keys.

pub mod metrics;
pub mod web;
