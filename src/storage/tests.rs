//! What the file promises, short of what takes processes.

use std::{
    fs,
    io::Cursor,
    os::unix::fs::{PermissionsExt as _, symlink},
    sync::Mutex,
};

use chrono::TimeDelta;
use proptest::prelude::*;
use tempfile::TempDir;

use super::{
    samples::{anything, at, now, one_of_each},
    *,
};

fn encoded(saved: &Saved) -> Vec<u8> {
    let file = records::encode(Cursor::new(Vec::new()), saved, now());
    file.unwrap().into_inner()
}

fn decoded(file: &[u8]) -> Result<Saved, Flaw> {
    let (written, saved) = records::decode(envelope::open(file)?, now())?;
    assert_eq!(written, now());
    Ok(saved)
}

proptest! {
    #[test]
    fn anything_comes_back_as_it_was_saved(saved in anything()) {
        prop_assert_eq!(decoded(&encoded(&saved)).unwrap(), saved);
    }

    /// The checksum stands in the way of this; behind it, nothing may panic or be half-believed.
    #[test]
    fn senseless_records_are_refused(
        saved in anything(), place: prop::sample::Index, byte: u8, cut: prop::sample::Index,
    ) {
        let file = encoded(&saved);
        let mut records = envelope::open(&file).unwrap().to_vec();
        let cut = cut.index(records.len());
        prop_assert!(records::decode(&records[..cut], now()).is_err());
        let place = place.index(records.len());
        records[place] = byte;
        if let Ok((_, saved)) = records::decode(&records, now()) {
            // What is left makes sense: it can be saved and loaded like anything else.
            prop_assert_eq!(decoded(&encoded(&saved)).unwrap(), saved);
        }
    }
}

#[test]
fn something_of_every_kind_comes_back_as_it_was_saved() {
    let saved = one_of_each();
    assert_eq!(decoded(&encoded(&saved)).unwrap(), saved);
}
