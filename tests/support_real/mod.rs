//! What the tests against real parts stand on: moto as AWS, Prometheus, promtool and Alertmanager as themselves, and
//! the exporter's binary between them.

#![allow(
    dead_code,
    unused_imports,
    reason = "each of the tests that share this needs a part of it"
)]

mod account;
mod alertmanager;
mod exporter;
mod exposition;
mod http;
mod inbox;
mod moto;
mod organization;
mod policies;
mod process;
mod prometheus;
mod tools;
mod wait;
mod watch;

pub(crate) use account::{SEEDS, seeded};
pub(crate) use alertmanager::Alertmanager;
pub(crate) use exporter::{Exporter, Place, Strategy};
pub(crate) use exposition::{Metrics, serve_static};
pub(crate) use inbox::{Group, Inbox, text_map};
pub(crate) use moto::{ACCOUNT, ListedKey, Moto, Used};
pub(crate) use organization::{Organization, ROLE, role_arn};
pub(crate) use policies::{actions, operation, shipped_policy, without};
pub(crate) use prometheus::{Prometheus, check_metrics};
pub(crate) use tools::aws_cli;
pub(crate) use wait::{now, wait_for};
pub(crate) use watch::{Watch, text};
