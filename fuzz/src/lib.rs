//! The modules of the exporter that read what comes from outside, and what these need.

#![allow(missing_docs, dead_code, unreachable_pub)]

pub mod cli;
pub mod clock;
pub mod config;
pub mod counts;
pub mod glob;
mod html;
mod intern;
pub mod inventory;
pub mod key;
pub mod metrics;
pub mod plan;
pub mod policy;
pub mod reason;
pub mod rotation;
pub mod shard;
pub mod snapshot;
pub mod source;
mod visible;
pub mod web;
pub mod worklist;
pub mod yaml;
