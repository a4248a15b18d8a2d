//! The report source alone.

mod outcome;
pub mod report;

pub use outcome::{Outcome, SourceError};
