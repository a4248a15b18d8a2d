//! What the double knows of its account, and how a test changes it.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, SecondsFormat, Utc};

use super::identity::{Key, LastUsed, Role, Root, User};
use super::page::PageStyle;
use super::report::Report;
use super::wire::{ErrorCode, Failure};

/// One AWS account.
pub struct Account {
    /// 12 digits.
    pub id: String,
    /// `aws`, `aws-us-gov`, `aws-cn`, …
    pub partition: String,
    pub alias: Option<String>,
    pub root: Root,
    /// By name.
    pub roles: BTreeMap<String, Role>,
    /// The fake's clock. It ages the credential report and stands still until it is set.
    pub now: DateTime<Utc>,
    /// How long the pages of listings are.
    pub page_style: PageStyle,
    /// The credential report, and how it behaves.
    pub report: Report,
    users: BTreeMap<String, User>,
    /// Which user holds a key, so that asking for a key's last use doesn't search them all.
    holders: HashMap<String, String>,
    serial: u64,
}

impl Account {
    /// An account in the partition `aws`, without users, at noon of 2026-06-01.
    pub(super) fn new(id: &str) -> Self {
        let now = instant("2026-06-01T12:00:00Z");
        Self {
            id: id.to_owned(),
            partition: "aws".to_owned(),
            alias: None,
            root: Root {
                created: instant("2019-01-01T00:00:00Z"),
                password_last_used: None,
                mfa: true,
                keys: Vec::new(),
            },
            roles: BTreeMap::new(),
            now,
            page_style: PageStyle::default(),
            report: Report::default(),
            users: BTreeMap::new(),
            holders: HashMap::new(),
            serial: 0,
        }
    }

    /// Makes ids that no other account makes, as AWS does.
    pub(super) fn with_unique_ids(mut self) -> Self {
        self.serial = self.id.parse::<u64>().expect("12 digits") << SERIAL_BITS;
        self
    }

    /// Sets the fake's clock.
    pub fn set_now(&mut self, now: DateTime<Utc>) {
        self.now = now;
    }

    /// The users by name.
    pub fn users(&self) -> &BTreeMap<String, User> {
        &self.users
    }

    /// Adds a user without keys at the path `/`. One of the same name, and its keys, are replaced.
    pub fn add_user(&mut self, name: &str, created: DateTime<Utc>) -> &mut User {
        self.delete_user(name);
        let user = User {
            id: format!("AIDA{}", self.next_serial(17)),
            path: "/".to_owned(),
            created,
            password: None,
            mfa: false,
            tags: BTreeMap::new(),
            keys: BTreeMap::new(),
        };
        self.users.entry(name.to_owned()).or_insert(user)
    }

    /// The user, to be changed.
    ///
    /// # Panics
    /// If there is none of this name.
    pub fn user_mut(&mut self, name: &str) -> &mut User {
        self.users
            .get_mut(name)
            .unwrap_or_else(|| panic!("the fake has no user {name:?}"))
    }

    /// Deletes a user and their keys, if there.
    pub fn delete_user(&mut self, name: &str) {
        if let Some(user) = self.users.remove(name) {
            for id in user.keys.keys() {
                self.holders.remove(id);
            }
        }
    }

    /// Renames a user, who keeps id, keys and all else (`UpdateUser` with `NewUserName`).
    ///
    /// # Panics
    /// If there is no such user, or the new name is taken.
    pub fn rename_user(&mut self, name: &str, new: &str) {
        assert!(!self.users.contains_key(new), "{new} is taken");
        let user = self
            .users
            .remove(name)
            .unwrap_or_else(|| panic!("the fake has no user {name:?}"));
        for id in user.keys.keys() {
            self.holders.insert(id.clone(), new.to_owned());
        }
        self.users.insert(new.to_owned(), user);
    }

    /// Gives a user an active key, never used. Returns its id. There is no limit to a user's keys.
    ///
    /// # Panics
    /// If there is no such user.
    pub fn add_key(&mut self, user_name: &str, created: DateTime<Utc>) -> String {
        let id = format!("AKIA{}", self.next_serial(16));
        self.add_key_as(user_name, &id, Key::active(created));
        id
    }

    /// Gives a user a key with an id and attributes of the test's choice.
    ///
    /// # Panics
    /// If there is no such user, or the id is taken.
    pub fn add_key_as(&mut self, user_name: &str, id: &str, key: Key) {
        let holder = self.holders.insert(id.to_owned(), user_name.to_owned());
        assert!(holder.is_none(), "{id} belongs to {holder:?}");
        self.user_mut(user_name).keys.insert(id.to_owned(), key);
    }

    /// The key, to be changed.
    ///
    /// # Panics
    /// If there is none of this id.
    pub fn key_mut(&mut self, id: &str) -> &mut Key {
        self.holders
            .get(id)
            .and_then(|holder| self.users.get_mut(holder)?.keys.get_mut(id))
            .unwrap_or_else(|| panic!("the fake has no key {id:?}"))
    }

    /// Sets a key's status, which need not be one that AWS has today. Panics like [`Account::key_mut`].
    pub fn set_key_status(&mut self, id: &str, status: &str) {
        status.clone_into(&mut self.key_mut(id).status);
    }

    /// Sets a key's last use. Panics like [`Account::key_mut`].
    pub fn set_last_used(&mut self, id: &str, last_used: LastUsed) {
        self.key_mut(id).last_used = last_used;
    }

    /// Deletes a key, if there.
    pub fn delete_key(&mut self, id: &str) {
        if let Some(holder) = self.holders.remove(id) {
            self.user_mut(&holder).keys.remove(id);
        }
    }

    /// Adds a role at the path `/` that asks for no external id. Returns its ARN.
    pub fn add_role(&mut self, name: &str) -> String {
        let role = Role {
            path: "/".to_owned(),
            external_id: None,
        };
        let arn = self.role_arn(name, &role);
        self.roles.insert(name.to_owned(), role);
        arn
    }

    /// Gives the root user so many active keys and no other.
    pub fn set_root_keys_active(&mut self, count: usize) {
        self.root.keys = vec![Key::active(self.root.created); count];
    }

    pub(super) fn find_user(&self, name: &str) -> Result<&User, Failure> {
        self.users.get(name).ok_or_else(|| {
            Failure::new(
                ErrorCode::NoSuchEntity,
                format!("The user with name {name} cannot be found."),
            )
        })
    }

    pub(super) fn find_key(&self, id: &str) -> Option<(&str, &Key)> {
        let holder = self.holders.get(id)?;
        let key = self.users.get(holder)?.keys.get(id)?;
        Some((holder, key))
    }

    pub(super) fn user_arn(&self, name: &str, user: &User) -> String {
        format!(
            "arn:{}:iam::{}:user{}{name}",
            self.partition, self.id, user.path
        )
    }

    /// The role's ARN.
    pub(super) fn role_arn(&self, name: &str, role: &Role) -> String {
        format!(
            "arn:{}:iam::{}:role{}{name}",
            self.partition, self.id, role.path
        )
    }

    pub(super) fn root_arn(&self) -> String {
        format!("arn:{}:iam::{}:root", self.partition, self.id)
    }

    pub(super) fn caller_arn(&self) -> String {
        format!(
            "arn:{}:sts::{}:assumed-role/iam-key-exporter/fake",
            self.partition, self.id
        )
    }

    /// Ids of AWS are base-32 in upper case. These count up, and so sort in the order they were made.
    fn next_serial(&mut self, width: usize) -> String {
        const DIGITS: &[u8; 32] = b"234567ABCDEFGHIJKLMNOPQRSTUVWXYZ";
        self.serial += 1;
        let mut rest = self.serial;
        let mut text = vec![b'2'; width];
        for place in text.iter_mut().rev() {
            *place = DIGITS[usize::try_from(rest % 32).expect("below 32")];
            rest /= 32;
        }
        String::from_utf8(text).expect("the digits are ASCII")
    }
}

/// An account can make so many ids, as a power of two, before they run into those of another.
const SERIAL_BITS: u32 = 22;

/// A time as IAM writes it.
pub(super) fn zulu(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

fn instant(text: &str) -> DateTime<Utc> {
    text.parse().expect("a constant in RFC 3339")
}
