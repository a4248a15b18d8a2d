//! What several integration tests and benches share.

pub mod fake_aws;
