//! The labels and values of keys, shaped for speed: a scrape of 100 000 keys is some 500 000 lines.

use std::{
    fmt::{self, Write},
    sync::{Arc, Mutex, PoisonError, Weak},
};

use chrono::{DateTime, Utc};
use prometheus_client::encoding::{
    EncodeGaugeValue, EncodeLabelSet, GaugeValueEncoder, LabelSetEncoder,
};

use super::keys::inventories;
use crate::{
    key::unix_seconds,
    snapshot::{KeyIdDisplay, Snapshot},
};

/// The values of the labels `user_name` and `access_key_id` of each key, in the order of the
/// inventories, as they stand in a line.
///
/// Six families repeat them. Escaping and writing them out beforehand, into one buffer, saves time that
/// handing each label to the encoder each time takes. What all keys of an account share is left out,
/// for the buffer stays in memory.
#[derive(Debug)]
pub(super) struct Identities(String);

/// Stands between two identities: in them it is escaped.
const END: char = '\n';

impl Identities {
    pub(super) fn of(snapshot: &Snapshot) -> Self {
        let users = || inventories(snapshot).flat_map(|(_, inventory)| &inventory.users);
        let keys = users().map(|user| user.keys.len()).sum::<usize>();
        // What an ordinary user name and id take; the buffer grows where they are longer.
        let mut identities = Self(String::with_capacity(keys * 56));
        for user in users() {
            if snapshot.key_ids == KeyIdDisplay::Full {
                for key in &user.keys {
                    identities.push(&user.name, key.name.as_str());
                }
            } else {
                for name in snapshot.key_ids.names(user) {
                    identities.push(&user.name, &name);
                }
            }
        }
        identities.0.shrink_to_fit();
        identities
    }

    fn push(&mut self, user: &str, key: &str) {
        let Self(text) = self;
        push_escaped(text, user);
        text.push_str("\",access_key_id=\"");
        push_escaped(text, key);
        text.push(END);
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.split_terminator(END)
    }
}

/// What stands before the identity of each key of an account.
pub(super) fn before_identity(account: &str) -> String {
    format!("account_id=\"{account}\",user_name=\"")
}

/// The identities of the latest snapshot, which stays the same for many scrapes.
#[derive(Debug, Default)]
pub(super) struct LatestIdentities(Mutex<Option<(Weak<Snapshot>, Arc<Identities>)>>);

impl LatestIdentities {
    /// Those of `snapshot`.
    pub(super) fn of(&self, snapshot: &Arc<Snapshot>) -> Arc<Identities> {
        // What is there is replaced whole, so a panic leaves nothing half-done.
        let mut latest = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &*latest {
            // The weak reference holds the address, so no other snapshot can have the same.
            Some((of, identities)) if of.as_ptr() == Arc::as_ptr(snapshot) => {
                Arc::clone(identities)
            }
            _ => {
                let identities = Arc::new(Identities::of(snapshot));
                *latest = Some((Arc::downgrade(snapshot), Arc::clone(&identities)));
                identities
            }
        }
    }
}

/// Appends a label value as both text formats escape it.
fn push_escaped(text: &mut String, value: &str) {
    let mut rest = value;
    while let Some(at) = rest.find(['\\', '"', '\n']) {
        let (plain, special) = rest.split_at(at);
        text.push_str(plain);
        text.push_str(match special.as_bytes()[0] {
            b'\\' => "\\\\",
            b'"' => "\\\"",
            _ => "\\n",
        });
        rest = &special[1..];
    }
    text.push_str(rest);
}

/// A key, as the labels of its lines begin.
#[derive(Clone, Copy)]
pub(super) struct Identity<'a> {
    /// Of [`before_identity`].
    pub(super) account: &'a str,
    /// Of [`Identities`].
    pub(super) key: &'a str,
}

/// A key's identity and its status.
pub(super) struct KeyLabels<'a> {
    pub(super) identity: Identity<'a>,
    pub(super) status: &'a str,
}

impl EncodeLabelSet for KeyLabels<'_> {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> fmt::Result {
        encode_label(encoder, Some(self.identity), "status", self.status)
    }
}

/// A key's identity and where it was last used.
pub(super) struct LastUseLabels<'a> {
    pub(super) identity: Identity<'a>,
    pub(super) service: &'a str,
    pub(super) region: &'a str,
}

impl EncodeLabelSet for LastUseLabels<'_> {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> fmt::Result {
        encode_label(encoder, Some(self.identity), "aws_service", self.service)?;
        encode_label(encoder, None, "aws_region", self.region)
    }
}

/// Writes a label, after others that are already written out. The encoder writes a label's name as it
/// is, so those go ahead of it there.
fn encode_label(
    encoder: &mut LabelSetEncoder<'_>,
    before: Option<Identity<'_>>,
    name: &str,
    value: &str,
) -> fmt::Result {
    let mut label = encoder.encode_label();
    let mut key = label.encode_label_key()?;
    if let Some(Identity {
        account,
        key: identity,
    }) = before
    {
        key.write_str(account)?;
        key.write_str(identity)?;
        key.write_str("\",")?;
    }
    key.write_str(name)?;
    let mut encoder = key.encode_label_value()?;
    encoder.write_str(value)?;
    encoder.finish()
}

/// An instant in Unix seconds; a whole number, as nearly all are, without a fraction.
pub(super) struct UnixSeconds(pub(super) DateTime<Utc>);

impl EncodeGaugeValue for UnixSeconds {
    fn encode(&self, encoder: &mut GaugeValueEncoder<'_>) -> fmt::Result {
        if self.0.timestamp_subsec_nanos() == 0 {
            self.0.timestamp().encode(encoder)
        } else {
            unix_seconds(self.0).encode(encoder)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_label_value_is_escaped_where_it_must_be_and_nowhere_else() {
        for (value, written) in [
            ("", ""),
            ("plain ünï\r\t'", "plain ünï\r\t'"),
            ("\"\\\n", "\\\"\\\\\\n"),
            ("a\"b\\", "a\\\"b\\\\"),
        ] {
            let mut text = String::new();
            push_escaped(&mut text, value);
            assert_eq!(text, written);
        }
    }

    #[test]
    fn identities_are_written_once_a_snapshot() {
        let snapshot = || {
            let policy = Arc::default();
            let interval = Duration::from_mins(5);
            Arc::new(Snapshot::before_first_refresh(
                policy,
                KeyIdDisplay::Full,
                interval,
            ))
        };
        let latest = LatestIdentities::default();
        let first = snapshot();
        let identities = latest.of(&first);
        assert!(Arc::ptr_eq(&identities, &latest.of(&first)));
        drop(first);
        assert!(!Arc::ptr_eq(&identities, &latest.of(&snapshot())));
    }
}
