//! The advice that the page shows.

pub mod advice;
mod advisor;
pub mod command;
pub(crate) mod words;
