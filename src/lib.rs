//! iam-key-exporter watches the age of AWS IAM access keys.
