//! Strategy `list`: every user, every key and every key's last use, asked for one by one.
//!
//! Always exact, at `ListUsers` pages + one call a user + one call a key.

use std::{collections::HashSet, sync::Arc};

use chrono::{DateTime, Utc};
use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::time::Instant;

use super::{
    client::{Api, ListedUser, Page},
    failure::CallError,
};
use crate::{
    inventory::{Account, Inventory, Listing, RootKeys, Trouble, User},
    key::{KeyName, LastUse},
    reason::Reason,
    source::{Progress, SourceError},
};

/// Reads the whole account. Fails only if not even the first page of users can be had.
pub(super) async fn collect(
    api: &Api,
    account: Account,
    progress: &Progress,
    now: DateTime<Utc>,
    deadline: Instant,
) -> Result<Inventory, CallError> {
    let mut reads = std::pin::pin!(
        users(api, progress, deadline)
            .map(|user| async move {
                match user {
                    Ok(user) => {
                        let mut read = read_user(api, &user.name, deadline).await;
                        if let Some(found) = &mut read.user {
                            found.path = user.path;
                        }
                        progress.read();
                        Ok(read)
                    }
                    Err(error) => Err(error),
                }
            })
            .buffer_unordered(api.max_concurrency())
    );
    let mut users = Vec::new();
    let mut broken_off = None;
    let mut troubles = Troubles::default();
    while let Some(read) = reads.next().await {
        match read {
            Ok(Read { user, trouble }) => {
                users.extend(user);
                troubles.extend(trouble);
            }
            Err(error) => broken_off = Some(error),
        }
    }
    let listing = match broken_off {
        None => Listing::Complete,
        Some(error) if users.is_empty() => return Err(error),
        Some(error) => {
            let reason = error.reason;
            troubles.note(error);
            Listing::Truncated(reason)
        }
    };
    let root = root_keys(api, deadline).await.unwrap_or_else(|error| {
        troubles.note(error);
        RootKeys::default()
    });
    users.sort_by(|a, b| a.name.cmp(&b.name));
    users.shrink_to_fit();
    Ok(Inventory {
        account,
        user_count: (listing == Listing::Complete).then_some(users.len()),
        users,
        root,
        data_time: now,
        listing,
        troubles: troubles.0,
    })
}

/// What could not be read, each reason once with the first message that came with it.
#[derive(Default)]
pub(super) struct Troubles(pub(super) Vec<Trouble>);

impl Troubles {
    pub(super) fn note(&mut self, error: CallError) {
        if self.0.iter().all(|known| known.reason != error.reason) {
            let SourceError { reason, message } = error.into();
            self.0.push(Trouble { reason, message });
        }
    }
}

impl Extend<CallError> for Troubles {
    fn extend<T: IntoIterator<Item = CallError>>(&mut self, errors: T) {
        for error in errors {
            self.note(error);
        }
    }
}

/// The root user's keys as the account summary tells them; unknown if it may not be read.
async fn root_keys(api: &Api, deadline: Instant) -> Result<RootKeys, CallError> {
    let present = match api.root_keys_present(deadline).await {
        Err(error) if error.reason == Reason::AccessDenied => {
            tracing::debug!(%error, "whether the root user has access keys is unknown");
            None
        }
        present => present?,
    };
    Ok(RootKeys {
        active: None,
        present,
    })
}

/// All users, without their keys.
pub(super) async fn all_users(api: &Api, deadline: Instant) -> Result<Vec<ListedUser>, CallError> {
    users(api, &Progress::default(), deadline)
        .try_collect()
        .await
}

/// All users, page after page, each once: a listing that others change meanwhile may repeat itself.
/// Ends after the first error.
fn users(
    api: &Api,
    progress: &Progress,
    deadline: Instant,
) -> impl futures_util::Stream<Item = Result<ListedUser, CallError>> {
    enum Next {
        Page(Option<String>),
        End,
    }
    let mut seen = HashSet::new();
    stream::unfold(Next::Page(None), move |next| async move {
        let Next::Page(marker) = next else {
            return None;
        };
        Some(match api.users(marker, deadline).await {
            Ok(Page { items, next }) => {
                progress.found(items.len());
                (
                    items.into_iter().map(Ok).collect(),
                    next.map_or(Next::End, |marker| Next::Page(Some(marker))),
                )
            }
            Err(error) => (vec![Err(error)], Next::End),
        })
    })
    .flat_map(stream::iter)
    .filter(move |user| {
        let new = match user {
            Ok(user) => seen.insert(Arc::clone(&user.name)),
            Err(_) => true,
        };
        std::future::ready(new)
    })
}

/// What reading one user gave.
pub(super) struct Read {
    /// The user, with the keys that could be read; `None` if the user is gone by now, which is no
    /// failure.
    pub(super) user: Option<User>,
    /// Why not everything could be read, if so.
    pub(super) trouble: Option<CallError>,
}

/// Reads a user with all keys and their last use. One that may not be read stays unknown; another
/// failure leaves it unknown for now.
pub(super) async fn read_user(api: &Api, name: &Arc<str>, deadline: Instant) -> Read {
    let mut read = read_keys(api, name, deadline).await;
    for key in read.user.iter_mut().flat_map(|user| user.keys.change()) {
        match last_use(api, &key.name, deadline).await {
            Ok(last_use) => key.last_use = last_use,
            Err(error) if error.reason == Reason::AccessDenied || error.is_no_such_entity() => {}
            Err(error) => read.trouble = Some(error),
        }
    }
    read
}

/// Reads a user with all keys, their last use unknown.
pub(super) async fn read_keys(api: &Api, name: &Arc<str>, deadline: Instant) -> Read {
    let mut keys = Vec::new();
    let mut marker = None;
    loop {
        match api.access_keys(name, marker, deadline).await {
            Ok(Page { items, next }) => {
                keys.extend(items);
                if next.is_none() {
                    return Read {
                        user: Some(User::read(Arc::clone(name), keys)),
                        trouble: None,
                    };
                }
                marker = next;
            }
            Err(error) if error.is_no_such_entity() => {
                return Read {
                    user: None,
                    trouble: None,
                };
            }
            Err(error) => {
                tracing::debug!(user = &**name, %error, "a user could not be read");
                return Read {
                    user: Some(User::unread(Arc::clone(name), keys, error.reason)),
                    trouble: Some(error),
                };
            }
        }
    }
}

/// When the key was last used. A failure leaves that unknown, which is never taken for unused.
pub(super) async fn last_use(
    api: &Api,
    key: &KeyName,
    deadline: Instant,
) -> Result<LastUse, CallError> {
    let KeyName::Id(id) = key else {
        return Ok(LastUse::Unknown);
    };
    api.last_use(id, deadline).await.inspect_err(|error| {
        tracing::debug!(access_key_id = &**id, %error, "the last use of a key is unknown");
    })
}
