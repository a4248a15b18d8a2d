//! The modules of the exporter that read what comes from outside, and what these need.

#![allow(missing_docs, dead_code, unreachable_pub)]

pub mod clock;
pub mod counts;
pub mod inventory;
pub mod key;
pub mod metrics;
pub mod policy;
pub mod reason;
pub mod rotation;
pub mod snapshot;
pub mod source;
mod visible;
pub mod web;
