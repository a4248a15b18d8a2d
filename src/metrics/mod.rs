//! What Prometheus reads: the only module that knows `prometheus_client`.

pub mod exposition;
