//! Which of several exporters reads an account.
//!
//! Every account is on exactly one of `n` shards, whoever computes it: the shard `i` from 0 to n − 1
//! for which the SHA-256 hash of `ACCOUNT/i`, e.g. `111122223333/0`, is the greatest. From n to n + 1
//! shards only the accounts move that the new one wins, 1 in n + 1 (rendezvous hashing). This never
//! changes: two versions side by side must agree.

use std::{fmt, num::NonZeroU16, str::FromStr};

use sha2::{Digest, Sha256};

use crate::{key::AccountId, source::UsageError};

/// Which part of the accounts is read.
#[derive(Debug, Clone, Copy, clap::Args)]
#[group(skip)]
pub struct Args {
    /// The part of the accounts that this exporter reads of N: I/N with I from 0 to N-1, or auto/N
    /// for the number at the end of the pod's name, as a Kubernetes `StatefulSet` gives it; for the
    /// aws source only
    #[arg(
        long = "shard",
        env = "IAM_KEY_EXPORTER_SHARD",
        value_name = "I/N",
        default_value = "0/1"
    )]
    pub shard: Choice,
}

/// A shard as it is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// This one.
    Fixed(Shard),
    /// Of so many the one that the pod's name tells.
    Auto(NonZeroU16),
}

impl FromStr for Choice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let expected = || {
            "give I/N with I from 0 to N-1 and N up to 1000, e.g. 0/3, or auto/N in a StatefulSet"
                .to_owned()
        };
        let (index, count) = text.split_once('/').ok_or_else(expected)?;
        let count = number(count)
            .filter(|count| *count <= 1000)
            .and_then(NonZeroU16::new)
            .ok_or_else(expected)?;
        if index == "auto" {
            return Ok(Self::Auto(count));
        }
        number(index)
            .and_then(|index| Shard::new(index, count))
            .map(Self::Fixed)
            .ok_or_else(expected)
    }
}

/// Digits only: `parse` takes a sign too.
fn number(text: &str) -> Option<u16> {
    text.bytes()
        .all(|byte| byte.is_ascii_digit())
        .then_some(())?;
    text.parse().ok()
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(shard) => shard.fmt(f),
            Self::Auto(count) => write!(f, "auto/{count}"),
        }
    }
}

impl Choice {
    /// Whether every account is on it, whatever the pod is called.
    pub fn is_whole(self) -> bool {
        self == Self::Fixed(Shard::WHOLE)
    }

    /// The shard, where `variable` reads the environment.
    pub fn resolve(self, variable: impl Fn(&str) -> Option<String>) -> Result<Shard, UsageError> {
        let count = match self {
            Self::Fixed(shard) => return Ok(shard),
            Self::Auto(count) => count,
        };
        let refuse = |why: String| UsageError(format!("--shard=auto/{count}: {why}"));
        let pod = ["POD_NAME", "HOSTNAME"]
            .into_iter()
            .find_map(|name| variable(name).filter(|value| !value.is_empty()))
            .ok_or_else(|| refuse("neither POD_NAME nor HOSTNAME is set".into()))?;
        let ordinal = pod
            .rsplit_once('-')
            .and_then(|(_, ordinal)| number(ordinal))
            .ok_or_else(|| {
                refuse(format!(
                    "the pod's name {pod:?} doesn't end in - and a number, as those of a StatefulSet do"
                ))
            })?;
        Shard::new(ordinal, count).ok_or_else(|| {
            refuse(format!(
                "the pod's name {pod:?} is that of shard {ordinal}, and the last of {count} is {}",
                count.get() - 1
            ))
        })
    }
}

/// One of several parts of the accounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    index: u16,
    count: NonZeroU16,
}

impl Default for Shard {
    fn default() -> Self {
        Self::WHOLE
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.count)
    }
}

impl Shard {
    /// The only one: every account.
    pub const WHOLE: Self = Self {
        index: 0,
        count: NonZeroU16::MIN,
    };

    /// The shard of that index, from 0; `None` if there aren't as many.
    pub fn new(index: u16, count: NonZeroU16) -> Option<Self> {
        (index < count.get()).then_some(Self { index, count })
    }

    /// Which it is, from 0.
    pub fn index(self) -> u16 {
        self.index
    }

    /// Of how many.
    pub fn count(self) -> NonZeroU16 {
        self.count
    }

    /// Whether every account is on it.
    pub fn is_whole(self) -> bool {
        self.count == NonZeroU16::MIN
    }

    /// Whether the account is on it.
    pub fn holds(self, account: AccountId) -> bool {
        self.is_whole() || shard_of(account, self.count) == self.index
    }
}

fn shard_of(account: AccountId, count: NonZeroU16) -> u16 {
    (0..count.get())
        .max_by_key(|index| <[u8; 32]>::from(Sha256::digest(format!("{account}/{index}"))))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn count(n: u16) -> NonZeroU16 {
        NonZeroU16::new(n).unwrap()
    }

    fn account(n: u64) -> AccountId {
        format!("{n:012}").parse().unwrap()
    }

    /// Made with Python's hashlib; see the module's text.
    #[test]
    fn the_shard_of_an_account_never_changes() {
        for (id, of_2, of_3, of_10, of_1000) in GOLDEN {
            let account = id.parse().unwrap();
            let shards = [2, 3, 10, 1000].map(|n| shard_of(account, count(n)));
            assert_eq!(shards, [of_2, of_3, of_10, of_1000], "{id}");
        }
    }

    const GOLDEN: [(&str, u16, u16, u16, u16); 4] = [
        ("000000000000", 1, 1, 1, 457),
        ("111122223333", 0, 0, 3, 961),
        ("123456789012", 0, 0, 6, 577),
        ("999999999999", 0, 0, 0, 379),
    ];

    proptest! {
        #[test]
        fn every_account_is_on_exactly_one_shard(id in 0..1_000_000_000_000_u64, n in 1..40_u16) {
            let holding = (0..n)
                .filter(|index| Shard::new(*index, count(n)).unwrap().holds(account(id)))
                .count();
            prop_assert_eq!(holding, 1);
        }

        #[test]
        fn an_account_moves_to_the_new_shard_or_stays(id in 0..1_000_000_000_000_u64, n in 1..40_u16) {
            let (before, after) = (shard_of(account(id), count(n)), shard_of(account(id), count(n + 1)));
            prop_assert!(after == before || after == n);
        }
    }

    #[test]
    fn a_new_shard_takes_its_share() {
        let accounts = 20_000;
        for n in [1, 2, 5, 9] {
            let moved = (0..accounts)
                .filter(|id| {
                    shard_of(account(*id), count(n)) != shard_of(account(*id), count(n + 1))
                })
                .count();
            let expected = f64::from(u32::try_from(accounts).unwrap()) / f64::from(n + 1);
            let ratio = f64::from(u32::try_from(moved).unwrap()) / expected;
            assert!((0.95..1.05).contains(&ratio), "{n}: {ratio}");
        }
    }

    #[test]
    fn a_shard_is_chosen_by_index_or_by_the_name_of_the_pod() {
        let environment = |pod: &'static str, host: &'static str| {
            move |name: &str| match name {
                "POD_NAME" => Some(pod.to_owned()),
                "HOSTNAME" => Some(host.to_owned()),
                _ => None,
            }
        };
        for (text, pod, host, shard) in [
            ("0/1", "", "", "0/1"),
            ("2/3", "x-0", "", "2/3"),
            ("auto/3", "iam-key-exporter-2", "node-1", "2/3"),
            ("auto/3", "", "iam-key-exporter-0", "0/3"),
            ("auto/12", "a-11", "", "11/12"),
        ] {
            let choice: Choice = text.parse().unwrap();
            let found = choice.resolve(environment(pod, host)).unwrap();
            assert_eq!(found.to_string(), shard);
        }
        for (text, pod, why) in [
            ("auto/3", "", "neither"),
            ("auto/3", "iam-key-exporter-3", "the last of 3 is 2"),
            ("auto/3", "iam-key-exporter-7d9f8-abcde", "a number"),
            ("auto/3", "exporter-+1", "a number"),
            ("auto/3", "exporter", "a number"),
        ] {
            let choice: Choice = text.parse().unwrap();
            let error = choice
                .resolve(environment(pod, ""))
                .unwrap_err()
                .to_string();
            assert!(error.contains(why), "{error}");
        }
        for text in [
            "", "1", "3/3", "1/0", "-1/2", "+1/2", "1/2/3", "auto", "auto/0", "0/1001", "a/2",
        ] {
            let error = text.parse::<Choice>().unwrap_err();
            assert!(error.contains("I/N"), "{text:?}");
        }
    }
}
