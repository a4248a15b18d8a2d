//! Who is asking: basic authentication (RFC 7617) against bcrypt hashes.
//!
//! What an attacker may learn or break by asking is kept small. A name that nobody has costs the same
//! hashing as one that somebody has. What was found out is remembered under a digest of name, hash and
//! password, each with its length before it, so that no two logins share an entry. Logins that passed
//! and logins that failed are remembered apart, so that a flood of wrong ones doesn't slow down the
//! right ones.

use std::fmt;
use std::hash::{BuildHasher as _, RandomState};
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::available_parallelism;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hyper::HeaderMap;
use hyper::header::AUTHORIZATION;
use lru::LruCache;
use sha2::{Digest as _, Sha256};
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use super::config::Users;

/// How many logins are remembered, of those that passed and of those that failed each.
const REMEMBERED: NonZeroUsize = NonZeroUsize::new(256).expect("256 is not zero");

/// How many logins may wait for their hashing. As many as connections may be open, so that only several
/// on one connection can be too many.
const MOST_WAITING: usize = 1024;

/// What became of a login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Login {
    /// The password is the user's.
    Passed,
    /// There is no such user, the password is another, or there is no login at all.
    Failed,
    /// Too many passwords wait to be checked.
    Busy,
}

/// Checks logins and remembers the outcome. Cheap to clone.
#[derive(Clone)]
pub struct Authenticator(Arc<Inner>);

struct Inner {
    /// Makes digests worthless outside of this process.
    key: [u8; 32],
    decoy: RandomState,
    passed: Mutex<LruCache<[u8; 32], ()>>,
    failed: Mutex<LruCache<[u8; 32], ()>>,
    /// One for each password that may be hashed at a time.
    hashing: Arc<Semaphore>,
    /// One for each login that may wait for its hashing.
    waiting: Semaphore,
    hashings: AtomicU64,
}

impl Authenticator {
    /// Nothing is remembered yet.
    ///
    /// # Panics
    /// Panics if the system gives no random numbers, without which nothing secret can be kept.
    pub fn new() -> Self {
        let mut key = [0; 32];
        getrandom::fill(&mut key).expect("the system gives random numbers");
        // Half of the processors at most, so that scrapes go on under a flood of logins.
        let at_once = available_parallelism().map_or(1, |processors| processors.get() / 2);
        Self(Arc::new(Inner {
            key,
            decoy: RandomState::new(),
            passed: Mutex::new(LruCache::new(REMEMBERED)),
            failed: Mutex::new(LruCache::new(REMEMBERED)),
            hashing: Arc::new(Semaphore::new(at_once.max(1))),
            waiting: Semaphore::new(MOST_WAITING),
            hashings: AtomicU64::new(0),
        }))
    }

    /// How often a password was hashed so far.
    pub fn hashings(&self) -> u64 {
        self.0.hashings.load(Ordering::Relaxed)
    }

    /// Checks the login in the headers of a request.
    pub async fn check(&self, users: &Users, headers: &HeaderMap) -> Login {
        let Some(credentials) = Credentials::from_headers(headers) else {
            return Login::Failed;
        };
        let known = users.hash_of(&credentials.user);
        let is_known = known.is_some();
        // For a name that nobody has, the hash of somebody is computed in vain: always the same one, for
        // the costs of the hashes may differ.
        let Some(hash) = known.or_else(|| users.any_hash(self.0.decoy.hash_one(&credentials.user)))
        else {
            return Login::Failed;
        };
        let entry = self.0.digest(&credentials, hash);
        if let Some(login) = self.0.remembered(&entry) {
            return login;
        }
        let Ok(_place) = self.0.waiting.try_acquire() else {
            return Login::Busy;
        };
        let turn = Arc::clone(&self.0.hashing).acquire_owned().await;
        let turn = turn.expect("the semaphore is never closed");
        // Somebody with the same login may have had the turn before.
        if let Some(login) = self.0.remembered(&entry) {
            return login;
        }
        let inner = Arc::clone(&self.0);
        let hash = hash.to_owned();
        let checked = spawn_blocking(move || {
            // A client that goes away must not make room for another hashing beside this one.
            let _turn = turn;
            inner.hashings.fetch_add(1, Ordering::Relaxed);
            let matches = bcrypt::verify(&credentials.password, &hash).unwrap_or(false);
            let passed = matches && is_known;
            inner.remember(entry, passed);
            passed
        });
        match checked.await {
            Ok(true) => Login::Passed,
            Ok(false) | Err(_) => Login::Failed,
        }
    }
}

impl Default for Authenticator {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authenticator").finish_non_exhaustive()
    }
}

impl Inner {
    /// The length before each part keeps ("a", "bc") apart from ("ab", "c").
    fn digest(&self, credentials: &Credentials, hash: &str) -> [u8; 32] {
        let mut digest = Sha256::new();
        digest.update(self.key);
        for part in [&credentials.user, hash.as_bytes(), &credentials.password] {
            digest.update((part.len() as u64).to_be_bytes());
            digest.update(part);
        }
        digest.finalize().into()
    }

    fn remembered(&self, entry: &[u8; 32]) -> Option<Login> {
        let holds = |logins: &Mutex<LruCache<[u8; 32], ()>>| {
            let logins = logins.lock();
            let mut logins = logins.unwrap_or_else(PoisonError::into_inner);
            logins.get(entry).is_some()
        };
        if holds(&self.passed) {
            Some(Login::Passed)
        } else if holds(&self.failed) {
            Some(Login::Failed)
        } else {
            None
        }
    }

    fn remember(&self, entry: [u8; 32], passed: bool) {
        let logins = if passed { &self.passed } else { &self.failed };
        let mut logins = logins.lock().unwrap_or_else(PoisonError::into_inner);
        logins.put(entry, ());
    }
}

/// A name and a password, as they were sent.
struct Credentials {
    user: Vec<u8>,
    password: Vec<u8>,
}

impl Credentials {
    /// What the header says. Two of them say nothing.
    fn from_headers(headers: &HeaderMap) -> Option<Self> {
        let mut lines = headers.get_all(AUTHORIZATION).iter();
        let (Some(line), None) = (lines.next(), lines.next()) else {
            return None;
        };
        let (scheme, encoded) = line.to_str().ok()?.split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("basic") {
            return None;
        }
        let mut user = BASE64_STANDARD.decode(encoded.trim_matches(' ')).ok()?;
        let colon = user.iter().position(|byte| *byte == b':')?;
        let password = user.split_off(colon + 1);
        user.pop();
        Some(Self { user, password })
    }
}
