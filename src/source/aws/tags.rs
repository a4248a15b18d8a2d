//! The tags of users who hold an old key, or may hold one because their keys can't be read, for the
//! rules and labels that go by them.
//!
//! Only such a user can be or soon be overdue, so nobody else's tags matter. They are believed for an
//! hour, and one more if they can't be read again then: `ListUserTags` for every old user at every
//! refresh would double its calls.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::{StreamExt, stream};
use tokio::time::Instant;

use super::{client::Api, failure::CallError};
use crate::{
    inventory::{Inventory, Listing, ReadTags, Reading, Tag, Tags, User},
    policy::Policy,
    reason::Reason,
    source::{Remark, SourceError},
};

/// How long tags are believed without another look.
const FRESH: TimeDelta = TimeDelta::hours(1);

/// The tags of one account's users, as last read.
#[derive(Debug)]
pub(super) struct TagBook {
    /// The keys of the tags that somebody wants; no other is kept.
    wanted: Arc<BTreeSet<Arc<str>>>,
    /// From this age of a key on its user's tags are read.
    age: TimeDelta,
    known: HashMap<Arc<str>, Arc<ReadTags>>,
    /// Whether nobody's tags may be read, as far as the last looks tell.
    is_denied: bool,
    /// How many looks began with one user because of that.
    probes: usize,
    /// Whether it was said that some can't be read.
    is_said: bool,
}

impl TagBook {
    /// Nothing is known yet, and nothing wanted.
    pub(super) fn new(policy: &Policy, refresh_interval: TimeDelta) -> Self {
        Self {
            wanted: Arc::default(),
            age: age(policy, refresh_interval),
            known: HashMap::new(),
            is_denied: false,
            probes: 0,
            is_said: false,
        }
    }

    /// Wants other tags from now on, or earlier. What was read of those wanted before counts as what it
    /// is until it can be read anew.
    pub(super) fn want(
        &mut self,
        wanted: Arc<BTreeSet<Arc<str>>>,
        policy: &Policy,
        refresh_interval: TimeDelta,
    ) {
        self.age = age(policy, refresh_interval);
        self.wanted = wanted;
    }

    /// Forgets the users of an account.
    pub(super) fn clear(&mut self) {
        self.known.clear();
        self.is_denied = false;
    }

    /// Gives the users of an inventory their tags, those read before or new ones. What can't be read
    /// leaves the rest of the inventory as complete as it was. Gives what begins or ends thereby.
    pub(super) async fn fill(
        &mut self,
        inventory: &mut Inventory,
        api: &Api,
        now: DateTime<Utc>,
        deadline: Instant,
    ) -> Option<Remark> {
        if self.wanted.is_empty() {
            return None;
        }
        // Whoever's keys can't be read may hold an old one.
        let matters = |user: &User| {
            matches!(user.reading, Reading::Unread(_))
                || user.keys.iter().any(|key| now - key.created > self.age)
        };
        let users = inventory.users.iter().filter(|user| matters(user));
        let users: BTreeSet<Arc<str>> = users.map(|user| Arc::clone(&user.name)).collect();
        let is_whole = inventory.listing == Listing::Complete;
        self.known
            .retain(|user, read| read.are_believed(now) && (users.contains(user) || !is_whole));
        let wanted = Arc::clone(&self.wanted);
        let is_fresh = |read: &Arc<ReadTags>| {
            now - read.time < FRESH && read.asked.as_ref().is_some_and(|asked| *asked == wanted)
        };
        let stale = users
            .iter()
            .filter(|user| !self.known.get(*user).is_some_and(is_fresh))
            .cloned()
            .collect();
        let mut failed = HashMap::new();
        for (user, answer) in self.ask(api, stale, deadline).await {
            match answer {
                Ok(tags) => {
                    let read = ReadTags {
                        time: now,
                        asked: Some(Arc::clone(&wanted)),
                        tags,
                    };
                    self.known.insert(user, Arc::new(read));
                }
                Err(error) => {
                    failed.insert(user, error);
                }
            }
        }
        // A user whose tags are denied where others' could be read says nothing about theirs.
        self.is_denied = !failed.is_empty()
            && !self.known.values().any(is_fresh)
            && failed.values().all(is_denial);
        for user in &mut inventory.users {
            if users.contains(&user.name) {
                user.tags = self.of(&user.name, &failed);
            }
        }
        self.remark(failed)
    }

    /// Reads the tags of these users. Where everybody's were denied the last time, one user is enough
    /// to see whether that has changed; another each time, for it may change for some only.
    async fn ask(
        &mut self,
        api: &Api,
        mut users: Vec<Arc<str>>,
        deadline: Instant,
    ) -> Vec<(Arc<str>, Result<Vec<Tag>, CallError>)> {
        let rest = if self.is_denied && !users.is_empty() {
            let place = self.probes % users.len();
            users.rotate_left(place);
            self.probes = self.probes.wrapping_add(1);
            users.split_off(1)
        } else {
            Vec::new()
        };
        let mut answers = self.read(api, users, deadline).await;
        match answers.first() {
            Some((_, Err(error))) if !rest.is_empty() && is_denial(error) => {
                let error = error.clone();
                answers.extend(rest.into_iter().map(|user| (user, Err(error.clone()))));
            }
            _ => answers.extend(self.read(api, rest, deadline).await),
        }
        answers
    }

    async fn read(
        &self,
        api: &Api,
        users: Vec<Arc<str>>,
        deadline: Instant,
    ) -> Vec<(Arc<str>, Result<Vec<Tag>, CallError>)> {
        stream::iter(users)
            .map(|user| async move {
                let tags = read_user(api, &user, &self.wanted, deadline).await;
                (user, tags)
            })
            .buffer_unordered(api.max_concurrency())
            .collect()
            .await
    }

    /// The tags that count for a user: what is believed, though it be of fewer keys than are wanted.
    fn of(&self, user: &str, failed: &HashMap<Arc<str>, CallError>) -> Tags {
        match (self.known.get(user), failed.get(user)) {
            (Some(read), _) => Tags::Known(Arc::clone(read)),
            (None, Some(error)) => Tags::Unread(error.reason),
            (None, None) => Tags::NotAsked,
        }
    }

    /// Says once that some can't be read, and once that all can.
    fn remark(&mut self, failed: HashMap<Arc<str>, CallError>) -> Option<Remark> {
        let users = failed.len();
        let was_said = std::mem::replace(&mut self.is_said, users > 0);
        match failed.into_values().next() {
            Some(error) if !was_said => {
                let SourceError { reason, message } = error.into();
                Some(Remark::TagsUnread {
                    reason,
                    users,
                    message,
                })
            }
            None if was_said => Some(Remark::TagsRead),
            Some(_) | None => None,
        }
    }
}

/// From this age of a key on its user's tags matter: no key turns due before the next refresh without
/// them.
fn age(policy: &Policy, refresh_interval: TimeDelta) -> TimeDelta {
    let margin = TimeDelta::days(1).max(refresh_interval * 2);
    let thresholds = policy.strictest();
    thresholds.max_age - thresholds.warn - margin
}

fn is_denial(error: &CallError) -> bool {
    error.reason == Reason::AccessDenied
}

/// All pages of a user's tags; of a user who is gone by now, none.
async fn read_user(
    api: &Api,
    user: &str,
    wanted: &BTreeSet<Arc<str>>,
    deadline: Instant,
) -> Result<Vec<Tag>, CallError> {
    let mut tags = Vec::new();
    let mut marker = None;
    loop {
        let page = match api.user_tags(user, marker, deadline).await {
            Err(error) if error.is_no_such_entity() => return Ok(Vec::new()),
            page => page?,
        };
        for (key, value) in page.items {
            if let Some(key) = wanted.get(&*key) {
                tags.push(Tag {
                    key: Arc::clone(key),
                    value: value.into(),
                });
            }
        }
        match page.next {
            None => return Ok(tags),
            next => marker = next,
        }
    }
}
