//! What Prometheus reads: the only module that knows `prometheus_client`.

mod accounts;
pub mod exporter;
pub mod keys;
mod labels;
pub mod process;
mod tags;
