//! What several integration tests and benches share.

pub mod aws_source;
pub mod fake_aws;
pub mod tls_front;
