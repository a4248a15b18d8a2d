//! The sources that need no network.

pub mod demo;
mod outcome;
mod remark;
pub mod report;
mod usage;

pub use outcome::{Outcome, SourceError};
pub use remark::Remark;
pub use usage::UsageError;
