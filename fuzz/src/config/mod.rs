//! What became of reloads, which metrics tell.

mod state;

pub use state::{ReloadState, Reloads};
