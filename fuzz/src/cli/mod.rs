//! What flags may be.

mod values;

pub use values::{one_of, whole_number};
