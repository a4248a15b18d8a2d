//! Who may log in.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::str::FromStr as _;

use bcrypt::HashParts;

use super::file::Secret;
use crate::yaml::{Spanned, YamlError, cut};

const FIELD: &str = "basic_auth_users";

/// What bcrypt allows at least, and what a server can bear at most: each step doubles the time, and
/// beyond these few seconds anybody could keep the server busy by asking with wrong passwords.
const COSTS: std::ops::RangeInclusive<u32> = 4..=16;

/// What is longer is likelier a key that has lost its way.
const MAX_NAME_BYTES: usize = 256;

/// The users and the hashes of their passwords.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Users(HashMap<Vec<u8>, String>);

impl Users {
    /// Whether nobody needs to log in.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The bcrypt hash of a user's password. The map's keyed hashing hides which names are nearly right.
    pub(in crate::web) fn hash_of(&self, name: &[u8]) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// The hash of one of the users: of the same one for the same number. There is none without users.
    pub(in crate::web) fn any_hash(&self, number: u64) -> Option<&str> {
        let at = number.checked_rem(self.0.len() as u64)?;
        self.0
            .values()
            .nth(usize::try_from(at).ok()?)
            .map(String::as_str)
    }
}

/// A hash is as good as a password to whoever has time.
impl fmt::Debug for Users {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} users", self.0.len())
    }
}

pub(super) fn check(users: &BTreeMap<String, Spanned<Secret>>) -> Result<Users, YamlError> {
    let mut checked = HashMap::new();
    for (name, hash) in users {
        if name.starts_with("$2") || name.len() > MAX_NAME_BYTES {
            return Err(YamlError::at(
                hash,
                FIELD,
                format!(
                    "a name looks like a hash or has more than {MAX_NAME_BYTES} bytes; \
                     the name comes first, then the hash"
                ),
            ));
        }
        let wrong = |why: &str| YamlError::at(hash, format!("{FIELD}.{}", cut(name)), why);
        if name.is_empty() {
            return Err(YamlError::at(hash, FIELD, "a user needs a name"));
        }
        // The colon ends a name in basic authentication (RFC 7617).
        if name.contains(':') || name.chars().any(char::is_control) {
            return Err(wrong("a name has neither colons nor control characters"));
        }
        let text = hash.value.reveal();
        let parts = HashParts::from_str(text)
            .ok()
            .filter(|_| is_bcrypt(text))
            .ok_or_else(|| {
                wrong("not a bcrypt hash; make one with: htpasswd -nBC 10 \"\" | tr -d ':\\n'")
            })?;
        if !COSTS.contains(&parts.get_cost()) {
            let (least, most) = (COSTS.start(), COSTS.end());
            return Err(wrong(&format!(
                "the cost of the hash is {}; allowed: {least} to {most}",
                parts.get_cost()
            )));
        }
        checked.insert(name.clone().into_bytes(), text.to_owned());
    }
    Ok(Users(checked))
}

/// The form that is known to be verified: `$2y$10$` and 53 characters of salt and hash.
fn is_bcrypt(text: &str) -> bool {
    text.len() == 60
        && ["$2a$", "$2b$", "$2x$", "$2y$"]
            .iter()
            .any(|version| text.starts_with(version))
        && text[7..]
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'/'))
}
