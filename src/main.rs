//! The `iam-key-exporter` binary.
fn main() {}
