//! The HTTP surface: the only module that knows `hyper`.
//!
//! [`bind`] reads the web configuration and listens; what comes of it serves what [`routes::Routes`]
//! answers to requests that pass the [`gate`], until it is told to stop.

mod answer;
mod api;
mod args;
pub mod auth;
pub mod body;
pub mod config;
mod files;
mod front;
pub mod gate;
pub mod listen;
pub mod live;
pub mod negotiation;
mod page;
mod places;
pub mod reload;
pub mod routes;
pub mod server;
mod socket;

pub use self::{
    args::Args,
    front::{StartError, Web, bind},
    reload::Reload,
};
