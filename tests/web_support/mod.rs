//! What tests of the web configuration share.

#![allow(
    dead_code,
    reason = "every test binary includes the whole module and uses a part of it"
)]

pub(crate) mod client;
pub(crate) mod pki;
