//! The sources that need no network.

pub mod demo;
mod outcome;
pub mod report;

pub use outcome::{Outcome, SourceError};
