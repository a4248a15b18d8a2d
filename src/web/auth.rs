//! Who is asking: basic authentication (RFC 7617) against bcrypt hashes.
//!
//! What an attacker may learn or break by asking is kept small. A name that nobody has costs the same
//! hashing as one that somebody has. What was found out is remembered under a digest of name, hash and
//! password, each with its length before it, so that no two logins share an entry. Logins that passed
//! and logins that failed are remembered apart, so that a flood of wrong ones doesn't slow down the
//! right ones. Few may wait for their hashing, and only some of them from one address.

mod waiting;

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::available_parallelism;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use futures_util::FutureExt as _;
use futures_util::future::Shared;
use hyper::HeaderMap;
use hyper::header::AUTHORIZATION;
use lru::LruCache;
use sha2::{Digest as _, Sha256};
use tokio::sync::{Semaphore, oneshot};
use tokio::task::spawn_blocking;

use super::config::Users;
use waiting::{Place, Waiting};

/// How many logins are remembered, of those that passed and of those that failed each.
const REMEMBERED: NonZeroUsize = NonZeroUsize::new(256).expect("256 is not zero");

/// The longest password that bcrypt tells from a longer one.
const MOST_PASSWORD_BYTES: usize = 72;

/// Stands for a login in what is remembered.
type Entry = [u8; 32];

/// Whether a login passed, for everybody who waits for it.
type Outcome = Shared<oneshot::Receiver<bool>>;

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
    passed: Mutex<LruCache<Entry, ()>>,
    failed: Mutex<LruCache<Entry, ()>>,
    /// The logins that wait for their hashing or are being hashed.
    under_way: Mutex<HashMap<Entry, Outcome>>,
    /// One for each password that may be hashed at a time.
    hashing: Semaphore,
    waiting: Waiting,
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
            under_way: Mutex::new(HashMap::new()),
            hashing: Semaphore::new(at_once.max(1)),
            waiting: Waiting::default(),
            hashings: AtomicU64::new(0),
        }))
    }

    /// How often a password was hashed so far.
    pub fn hashings(&self) -> u64 {
        self.0.hashings.load(Ordering::Relaxed)
    }

    /// Checks the login in the headers of a request from `peer`. What it comes to is remembered even if nobody waits
    /// for it any more.
    pub async fn check(&self, users: &Users, headers: &HeaderMap, peer: Option<IpAddr>) -> Login {
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
        let entry = self.0.digest(&credentials, hash, is_known);
        if let Some(login) = self.0.remembered(&entry) {
            return login;
        }
        let Some(outcome) = self.0.outcome(entry, credentials, hash, is_known, peer) else {
            return Login::Busy;
        };
        match outcome.await {
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
    /// The length before each part keeps ("a", "bc") apart from ("ab", "c"), and a name that nobody has is kept apart
    /// from one that somebody has: the hash computed in vain for it may be its own before or after a renaming.
    fn digest(&self, credentials: &Credentials, hash: &str, is_known: bool) -> [u8; 32] {
        let mut digest = Sha256::new();
        digest.update(self.key);
        digest.update([u8::from(is_known)]);
        for part in [&credentials.user, hash.as_bytes(), &credentials.password] {
            digest.update((part.len() as u64).to_be_bytes());
            digest.update(part);
        }
        digest.finalize().into()
    }

    fn remembered(&self, entry: &Entry) -> Option<Login> {
        if locked(&self.passed).get(entry).is_some() {
            return Some(Login::Passed);
        }
        // What failed isn't kept any longer for being tried again.
        let failed = locked(&self.failed).contains(entry);
        failed.then_some(Login::Failed)
    }

    fn remember(&self, entry: Entry, passed: bool) {
        let logins = if passed { &self.passed } else { &self.failed };
        locked(logins).put(entry, ());
    }

    /// What the login will come to: found out now, unless somebody has asked for the same already. There is none if
    /// too many wait.
    fn outcome(
        self: &Arc<Self>,
        entry: Entry,
        credentials: Credentials,
        hash: &str,
        is_known: bool,
        peer: Option<IpAddr>,
    ) -> Option<Outcome> {
        let mut under_way = locked(&self.under_way);
        if let Some(outcome) = under_way.get(&entry) {
            return Some(outcome.clone());
        }
        let place = self.waiting.take(peer)?;
        let (tell, outcome) = oneshot::channel();
        let outcome = outcome.shared();
        under_way.insert(entry, outcome.clone());
        let hashing = Hashing {
            inner: Arc::clone(self),
            entry,
            _place: place,
        };
        let hash = hash.to_owned();
        // It goes on when the client goes away, which may have come to the end of its patience and will be back.
        tokio::spawn(hashing.run(credentials, hash, is_known, tell));
        Some(outcome)
    }
}

/// Waits for a poisoned lock no less: what is behind these is never left half done.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A login that waits for its hashing or is being hashed.
struct Hashing {
    inner: Arc<Inner>,
    entry: Entry,
    _place: Place,
}

impl Hashing {
    async fn run(
        self,
        credentials: Credentials,
        hash: String,
        is_known: bool,
        tell: oneshot::Sender<bool>,
    ) {
        let inner = Arc::clone(&self.inner);
        let turn = inner.hashing.acquire().await;
        let _turn = turn.expect("the semaphore is never closed");
        // The same login may have come to its end between the look at what is remembered and at what is under way.
        if let Some(login) = inner.remembered(&self.entry) {
            let _ = tell.send(login == Login::Passed);
            return;
        }
        let hashed = spawn_blocking(move || {
            self.inner.hashings.fetch_add(1, Ordering::Relaxed);
            let matches = bcrypt::verify(&credentials.password, &hash).unwrap_or(false);
            let passed = matches && is_known && credentials.is_seen_whole();
            // Before it is no longer under way, so that nobody has to ask again.
            self.inner.remember(self.entry, passed);
            passed
        });
        // Nobody may be left to hear of it.
        let _ = tell.send(hashed.await.unwrap_or(false));
    }
}

impl Drop for Hashing {
    fn drop(&mut self) {
        locked(&self.inner.under_way).remove(&self.entry);
    }
}

/// A name and a password, as they were sent.
struct Credentials {
    user: Vec<u8>,
    password: Vec<u8>,
}

impl Credentials {
    /// Whether bcrypt looks at the whole password: it ends at 72 bytes, and starts again after a NUL, so that
    /// `secret` and `secret\0secret` are one to it.
    fn is_seen_whole(&self) -> bool {
        self.password.len() <= MOST_PASSWORD_BYTES && !self.password.contains(&0)
    }

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

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;
    use std::fs;

    use hyper::header::HeaderValue;

    use super::*;
    use crate::web::config;

    /// Users with the names and passwords, at the least cost.
    fn users(logins: &[(&str, &str)]) -> Users {
        let hashed = |(user, password): &(&str, &str)| {
            let hash = bcrypt::hash(password, 4).unwrap();
            ((*user).to_owned(), hash)
        };
        let hashed: Vec<_> = logins.iter().map(hashed).collect();
        let hashed: Vec<_> = hashed
            .iter()
            .map(|(user, hash)| (user.as_str(), hash.as_str()))
            .collect();
        users_with_hashes(&hashed)
    }

    fn users_with_hashes(logins: &[(&str, &str)]) -> Users {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("web.yml");
        let mut text = "basic_auth_users:\n".to_owned();
        for (user, hash) in logins {
            writeln!(text, "  {user}: {hash}").unwrap();
        }
        fs::write(&path, text).unwrap();
        config::validate(&path).unwrap().users
    }

    fn login(user: &str, password: &str) -> HeaderMap {
        let credentials = BASE64_STANDARD.encode(format!("{user}:{password}"));
        headers(&format!("Basic {credentials}"))
    }

    fn headers(authorization: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, HeaderValue::from_str(authorization).unwrap());
        headers
    }

    #[tokio::test]
    async fn only_the_right_password_of_the_right_user_passes() {
        let users = users(&[("alice", "wonder:land"), ("bob", "builder")]);
        let logins = Authenticator::new();
        let table = [
            ("alice", "wonder:land", Login::Passed),
            ("bob", "builder", Login::Passed),
            ("alice", "builder", Login::Failed),
            ("alice", "", Login::Failed),
            ("alice", "wonder", Login::Failed),
            ("Alice", "wonder:land", Login::Failed),
            ("", "", Login::Failed),
            ("carol", "wonder:land", Login::Failed),
        ];
        // Cold, then remembered.
        for _ in 0..2 {
            for (user, password, expected) in table {
                let login = logins.check(&users, &login(user, password), None).await;
                assert_eq!(login, expected, "{user}:{password}");
            }
        }
        assert_eq!(logins.hashings(), table.len() as u64);
    }

    #[tokio::test]
    async fn what_bcrypt_overlooks_does_not_pass() {
        let longest = "x".repeat(72);
        let users = users(&[("alice", "secret"), ("bob", &longest)]);
        let logins = Authenticator::new();
        let table = [
            ("alice", "secret".to_owned(), Login::Passed),
            ("alice", "secret\0secret".to_owned(), Login::Failed),
            ("alice", "secret\0".to_owned(), Login::Failed),
            ("bob", longest.clone(), Login::Passed),
            ("bob", format!("{longest}y"), Login::Failed),
        ];
        for (user, password, expected) in &table {
            let login = logins.check(&users, &login(user, password), None).await;
            assert_eq!(login, *expected, "{user}:{password:?}");
        }
        // What isn't looked at costs what everything else costs.
        assert_eq!(logins.hashings(), table.len() as u64);
    }

    #[tokio::test]
    async fn what_is_no_login_costs_nothing() {
        let users = users(&[("alice", "secret")]);
        let logins = Authenticator::new();
        for authorization in [
            "",
            "Basic",
            "Basic ",
            "Basic !!!",
            "Basic YWxpY2U=",
            "Bearer YWxpY2U6c2VjcmV0",
            "YWxpY2U6c2VjcmV0",
            "Basic YWxpY2U6c2VjcmV0 YWxpY2U6c2VjcmV0",
        ] {
            let login = logins.check(&users, &headers(authorization), None).await;
            assert_eq!(login, Login::Failed, "{authorization:?}");
        }
        let mut twice = login("alice", "secret");
        twice.append(AUTHORIZATION, twice[AUTHORIZATION].clone());
        assert_eq!(logins.check(&users, &twice, None).await, Login::Failed);
        assert_eq!(logins.hashings(), 0);
        let any_case = headers("bAsIc YWxpY2U6c2VjcmV0");
        assert_eq!(logins.check(&users, &any_case, None).await, Login::Passed);
    }

    #[tokio::test]
    async fn a_name_that_nobody_has_costs_what_a_name_that_somebody_has_costs() {
        let users = users(&[("alice", "secret"), ("bob", "secret")]);
        let logins = Authenticator::new();
        for (number, user) in ["alice", "nobody", "bob", "somebody"].iter().enumerate() {
            let login = logins.check(&users, &login(user, "wrong"), None).await;
            assert_eq!(login, Login::Failed);
            assert_eq!(logins.hashings(), number as u64 + 1, "{user}");
        }
        // Remembered alike too.
        logins.check(&users, &login("nobody", "wrong"), None).await;
        logins.check(&users, &login("alice", "wrong"), None).await;
        assert_eq!(logins.hashings(), 4);
    }

    /// The shape of CVE-2022-46146: with parts joined without their lengths, whoever knows a hash can make a
    /// login for which the outcome of another one is remembered.
    #[tokio::test]
    async fn no_two_logins_share_what_is_remembered() {
        let users = users(&[("alice", "secret")]);
        let logins = Authenticator::new();
        assert_eq!(
            logins.check(&users, &login("alice", "secret"), None).await,
            Login::Passed
        );
        let hash = users.hash_of(b"alice").unwrap();
        for (user, password) in [
            ("alicesecret", String::new()),
            ("alic", "esecret".to_owned()),
            ("alice", format!("{hash}secret")),
            (&format!("alice{hash}"), "secret".to_owned()),
            ("", format!("alice{hash}secret")),
        ] {
            let login = logins.check(&users, &login(user, &password), None).await;
            assert_eq!(login, Login::Failed, "{user}:{password}");
        }
    }

    #[tokio::test]
    async fn another_password_in_the_file_outdates_what_is_remembered() {
        let before = users(&[("alice", "secret")]);
        let after = users(&[("alice", "better")]);
        let logins = Authenticator::new();
        assert_eq!(
            logins.check(&before, &login("alice", "secret"), None).await,
            Login::Passed
        );
        assert_eq!(
            logins.check(&after, &login("alice", "secret"), None).await,
            Login::Failed
        );
        assert_eq!(
            logins.check(&after, &login("alice", "better"), None).await,
            Login::Passed
        );
        assert_eq!(
            logins
                .check(&users(&[]), &login("alice", "secret"), None)
                .await,
            Login::Failed
        );
    }

    /// With one user, the hash computed in vain for the old name is the very hash of the new one.
    #[tokio::test]
    async fn a_renamed_user_gets_in_by_the_new_name_alone() {
        let before = users(&[("alice", "secret")]);
        let hash = before.hash_of(b"alice").unwrap().to_owned();
        let after = users_with_hashes(&[("bob", &hash)]);
        for logins_before in [0, 1, 2] {
            let logins = Authenticator::new();
            // Back and forth, cold and remembered.
            for _ in 0..2 {
                for (users, right, wrong) in [(&before, "alice", "bob"), (&after, "bob", "alice")] {
                    for _ in 0..logins_before {
                        logins.check(users, &login(wrong, "secret"), None).await;
                    }
                    let outcome = logins.check(users, &login(wrong, "secret"), None).await;
                    assert_eq!(outcome, Login::Failed, "{wrong}");
                    let outcome = logins.check(users, &login(right, "secret"), None).await;
                    assert_eq!(outcome, Login::Passed, "{right}");
                }
            }
            assert_eq!(logins.hashings(), 4);
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn of_many_logins_at_once_exactly_the_right_ones_pass() {
        let users = Arc::new(users(&[("alice", "secret"), ("bob", "builder")]));
        let logins = Authenticator::new();
        for round in ["cold", "remembered"] {
            let before = logins.hashings();
            let mut asked = tokio::task::JoinSet::new();
            for number in 0..300 {
                let (users, logins) = (Arc::clone(&users), logins.clone());
                asked.spawn(async move {
                    let (user, password, expected) = match number % 6 {
                        0 => ("alice", "secret".to_owned(), Login::Passed),
                        1 => ("bob", "builder".to_owned(), Login::Passed),
                        2 => ("alice", "builder".to_owned(), Login::Failed),
                        3 => ("bob", format!("guess {}", number % 50), Login::Failed),
                        4 => ("carol", "secret".to_owned(), Login::Failed),
                        _ => ("", String::new(), Login::Failed),
                    };
                    let login = login(user, &password);
                    loop {
                        let outcome = logins.check(&users, &login, None).await;
                        if outcome != Login::Busy {
                            assert_eq!(outcome, expected, "{user}:{password}");
                            break;
                        }
                        tokio::task::yield_now().await;
                    }
                });
            }
            while let Some(done) = asked.join_next().await {
                done.unwrap();
            }
            let hashed = logins.hashings() - before;
            match round {
                "cold" => assert!((5..300).contains(&hashed), "{hashed}"),
                _ => assert_eq!(hashed, 0),
            }
        }
    }

    /// As long as the turn to hash is taken, all logins wait.
    #[tokio::test]
    async fn few_may_wait_and_only_some_of_them_from_one_address() {
        let users = users(&[("alice", "secret")]);
        let logins = Authenticator::new();
        let turns = u32::try_from(logins.0.hashing.available_permits()).unwrap();
        let turns = logins.0.hashing.acquire_many(turns).await.unwrap();
        let ask = |user: &str, password: &str, peer: &str| {
            let (peer, login) = (peer.parse().unwrap(), login(user, password));
            let (users, logins) = (users.clone(), logins.clone());
            let asked = async move { logins.check(&users, &login, Some(peer)).await };
            // The first poll says whether it may wait.
            let mut asked = Box::pin(asked);
            let now = asked.as_mut().now_or_never();
            (now, asked)
        };
        let mut waiting = Vec::new();
        for number in 0..waiting::MOST_FROM_ONE {
            let (now, asked) = ask("alice", &format!("guess {number}"), "192.0.2.1");
            assert_eq!(now, None);
            waiting.push(asked);
        }
        let (now, _) = ask("alice", "secret", "192.0.2.1");
        assert_eq!(now, Some(Login::Busy));
        // The same again takes no place, and another address has some left.
        assert_eq!(ask("alice", "guess 0", "192.0.2.1").0, None);
        let (now, right) = ask("alice", "secret", "192.0.2.2");
        assert_eq!(now, None);
        drop(turns);
        // Whoever gives up will find what came of it.
        drop(waiting);
        assert_eq!(right.await, Login::Passed);
        let hashed = waiting::MOST_FROM_ONE as u64 + 1;
        assert_eq!(logins.hashings(), hashed);
        let (now, _) = ask("alice", "guess 0", "192.0.2.1");
        assert_eq!(now, Some(Login::Failed));
    }

    #[tokio::test]
    async fn what_is_remembered_is_bounded_and_wrong_logins_push_out_no_right_one() {
        let users = users(&[("alice", "secret")]);
        let logins = Authenticator::new();
        logins.check(&users, &login("alice", "secret"), None).await;
        for number in 0..300 {
            let wrong = login("alice", &format!("guess {number}"));
            assert_eq!(logins.check(&users, &wrong, None).await, Login::Failed);
        }
        assert_eq!(logins.0.failed.lock().unwrap().len(), REMEMBERED.get());
        let before = logins.hashings();
        assert_eq!(
            logins.check(&users, &login("alice", "secret"), None).await,
            Login::Passed
        );
        assert_eq!(logins.hashings(), before);
    }
}
