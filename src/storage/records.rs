//! What is in the file: records of their own, so that the format changes only where it is meant to.
//!
//! Fields and variants are written in the order they stand in, without names. Whoever adds, removes
//! or moves one makes another format: [`super::envelope::VERSION`] then counts on.

mod load;
mod record;
mod store;

use std::{
    collections::HashSet,
    io::{self, Seek, Write},
};

use chrono::{DateTime, Utc};

use super::{
    Saved,
    envelope::{Flaw, Sealer},
};
use load::Loader;
use record::{Account, Preamble};

/// Writes everything, an account at a time, so that only one is held a second time.
pub(super) fn encode<W: Write + Seek>(out: W, saved: &Saved, now: DateTime<Utc>) -> io::Result<W> {
    let mut sealer = Sealer::new(out)?;
    let preamble = Preamble {
        written: now.into(),
        accounts: saved.accounts.len() as u64,
    };
    let mut bytes = postcard::to_extend(&preamble, Vec::new()).map_err(io::Error::other)?;
    sealer.write(&bytes)?;
    for account in &saved.accounts {
        bytes.clear();
        bytes = postcard::to_extend(&Account::from(account), bytes).map_err(io::Error::other)?;
        sealer.write(&bytes)?;
    }
    sealer.seal()
}

/// Reads everything, and when it was written. Nothing that can be checked is taken on trust, and
/// nothing counts as later than `now`: a clock that was wrong must not make old data look fresh.
pub(super) fn decode(records: &[u8], now: DateTime<Utc>) -> Result<(DateTime<Utc>, Saved), Flaw> {
    let flaw = |error: postcard::Error| Flaw::Records(error.to_string());
    let (preamble, mut rest) = postcard::take_from_bytes::<Preamble>(records).map_err(flaw)?;
    let mut loader = Loader::new(now);
    let written = loader.past(preamble.written)?;
    let mut ids = HashSet::new();
    let mut saved = Saved::default();
    for _ in 0..preamble.accounts {
        let (account, more) = postcard::take_from_bytes::<Account<'_>>(rest).map_err(flaw)?;
        rest = more;
        let account = loader.account(account)?;
        if !ids.insert(account.state.id) {
            return Err(Flaw::Records(format!(
                "account {} is there twice",
                account.state.id
            )));
        }
        saved.accounts.push(account);
    }
    if rest.is_empty() {
        saved.accounts.sort_by_key(|account| account.state.id);
        Ok((written, saved))
    } else {
        Err(Flaw::Records(format!("{} bytes are left over", rest.len())))
    }
}
