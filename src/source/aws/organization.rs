//! The members of an organisation, and which of them are read.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use aws_sdk_organizations::types::{Account, AccountState, AccountStatus};
use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::time::Instant;

use super::{directory::Directory, failure::CallError};
use crate::{
    counts::Operation,
    inventory::Tag,
    key::AccountId,
    source::accounts::{AccountFilter, Organization, OuId},
};

/// A member that is to be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Listed {
    pub(super) id: AccountId,
    pub(super) name: Option<Arc<str>>,
}

/// The active members that the filters choose, by id. Units and tags are asked for only where a
/// filter can't decide without them. Beside them, the accounts that a filter names and that are no
/// active members.
pub(super) async fn members(
    directory: &Directory,
    organization: &Organization,
    deadline: Instant,
) -> Result<(Vec<Listed>, BTreeSet<AccountId>), CallError> {
    let Organization {
        include, exclude, ..
    } = organization;
    let active: HashMap<AccountId, Option<Arc<str>>> = directory
        .accounts(deadline)
        .await?
        .iter()
        .filter(|account| is_active(account))
        .map(listed)
        .collect::<Result<_, _>>()?;
    let strangers = include
        .iter()
        .chain(exclude)
        .filter_map(|filter| match filter {
            AccountFilter::Id(id) => (!active.contains_key(id)).then_some(*id),
            AccountFilter::Ou(_) | AccountFilter::Tag { .. } => None,
        });
    let strangers = strangers.collect();
    let units = units(directory, include.iter().chain(exclude), deadline).await?;
    let choose = |id, tags: Option<&[Tag]>| {
        let facts = Facts {
            id,
            units: &units,
            tags,
        };
        facts.chooses(include, exclude)
    };
    let chosen: Vec<AccountId> = stream::iter(active.keys().copied())
        .map(|id| async move {
            let is_chosen = if let Some(is_chosen) = choose(id, None) {
                is_chosen
            } else {
                let tags = directory.tags(id, deadline).await?;
                choose(id, Some(&tags)).unwrap_or_default()
            };
            Ok((id, is_chosen))
        })
        .buffer_unordered(directory.at_once())
        .try_filter_map(|(id, is_chosen)| async move { Ok(is_chosen.then_some(id)) })
        .try_collect()
        .await?;
    let mut chosen: Vec<Listed> = chosen
        .into_iter()
        .map(|id| Listed {
            id,
            name: active.get(&id).cloned().flatten(),
        })
        .collect();
    chosen.sort_unstable_by_key(|member| member.id);
    Ok((chosen, strangers))
}

/// `Status` gives way to `State`, which is believed where it is there.
///
/// Source: Organizations API Reference, `Account`.
fn is_active(account: &Account) -> bool {
    match (account.state(), account.status()) {
        (Some(state), _) => *state == AccountState::Active,
        (None, Some(status)) => *status == AccountStatus::Active,
        (None, None) => false,
    }
}

fn listed(account: &Account) -> Result<(AccountId, Option<Arc<str>>), CallError> {
    let id = account.id().unwrap_or_default();
    let id = id.parse().map_err(|error: crate::key::BadAccountId| {
        CallError::malformed(Operation::ListAccounts, error.to_string())
    })?;
    let name = account.name().filter(|name| !name.is_empty());
    Ok((id, name.map(Arc::from)))
}

/// The accounts in each unit that a filter names, nested units included.
async fn units<'a>(
    directory: &Directory,
    filters: impl Iterator<Item = &'a AccountFilter>,
    deadline: Instant,
) -> Result<HashMap<&'a OuId, HashSet<AccountId>>, CallError> {
    let named: HashSet<&OuId> = filters
        .filter_map(|filter| match filter {
            AccountFilter::Ou(unit) => Some(unit),
            AccountFilter::Id(_) | AccountFilter::Tag { .. } => None,
        })
        .collect();
    let mut accounts = HashMap::new();
    for unit in named {
        accounts.insert(unit, accounts_under(directory, unit, deadline).await?);
    }
    Ok(accounts)
}

async fn accounts_under(
    directory: &Directory,
    unit: &OuId,
    deadline: Instant,
) -> Result<HashSet<AccountId>, CallError> {
    let mut accounts = HashSet::new();
    let mut seen = BTreeSet::from([unit.as_str().to_owned()]);
    let mut parents: Vec<String> = seen.iter().cloned().collect();
    while let Some(parent) = parents.pop() {
        for account in directory.accounts_in(&parent, deadline).await? {
            accounts.insert(listed(&account)?.0);
        }
        let units = directory.units_in(&parent, deadline).await?;
        parents.extend(units.into_iter().filter(|unit| seen.insert(unit.clone())));
    }
    Ok(accounts)
}

/// What is known of an account when it is held against the filters.
struct Facts<'a> {
    id: AccountId,
    units: &'a HashMap<&'a OuId, HashSet<AccountId>>,
    /// `None` if they weren't asked for.
    tags: Option<&'a [Tag]>,
}

impl Facts<'_> {
    /// Whether the account is read; `None` if that hangs on its tags. Exclusion wins, and no
    /// inclusion is that of all.
    fn chooses(&self, include: &[AccountFilter], exclude: &[AccountFilter]) -> Option<bool> {
        let included = if include.is_empty() {
            Some(true)
        } else {
            self.matches_any(include)
        };
        match (included, self.matches_any(exclude)) {
            (Some(false), _) | (_, Some(true)) => Some(false),
            (Some(true), Some(false)) => Some(true),
            _ => None,
        }
    }

    fn matches_any(&self, filters: &[AccountFilter]) -> Option<bool> {
        let mut answer = Some(false);
        for filter in filters {
            match self.matches(filter) {
                Some(true) => return Some(true),
                Some(false) => {}
                None => answer = None,
            }
        }
        answer
    }

    fn matches(&self, filter: &AccountFilter) -> Option<bool> {
        match filter {
            AccountFilter::Id(id) => Some(*id == self.id),
            AccountFilter::Ou(unit) => {
                let accounts = self.units.get(unit);
                Some(accounts.is_some_and(|accounts| accounts.contains(&self.id)))
            }
            AccountFilter::Tag { key, value } => Some(self.tags?.iter().any(|tag| {
                *tag.key == **key && value.as_ref().is_none_or(|value| value.matches(&tag.value))
            })),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag_filter(key: &str, value: Option<&str>) -> AccountFilter {
        AccountFilter::Tag {
            key: key.into(),
            value: value.map(|value| value.parse().unwrap()),
        }
    }

    #[test]
    fn tags_are_asked_for_only_where_nothing_else_decides() {
        let (a, b): (AccountId, AccountId) = (
            "111111111111".parse().unwrap(),
            "222222222222".parse().unwrap(),
        );
        let unit: OuId = "ou-ab12-12345678".parse().unwrap();
        let in_unit = HashMap::from([(&unit, HashSet::from([a]))]);
        let prod = [Tag {
            key: "env".into(),
            value: "prod-eu".into(),
        }];
        let id = AccountFilter::Id;
        let ou = || AccountFilter::Ou(unit.clone());
        let env = || tag_filter("env", Some("prod-*"));
        for (account, include, exclude, without, with) in [
            (a, vec![], vec![], Some(true), true),
            (a, vec![id(a)], vec![], Some(true), true),
            (b, vec![id(a)], vec![], Some(false), false),
            (a, vec![id(a)], vec![id(a)], Some(false), false),
            (a, vec![ou()], vec![], Some(true), true),
            (b, vec![ou()], vec![], Some(false), false),
            (a, vec![], vec![ou()], Some(false), false),
            (b, vec![], vec![ou()], Some(true), true),
            (a, vec![env()], vec![], None, true),
            (a, vec![id(a), env()], vec![], Some(true), true),
            (a, vec![env()], vec![id(a)], Some(false), false),
            (a, vec![], vec![env()], None, false),
            (b, vec![id(a)], vec![env()], Some(false), false),
            (a, vec![tag_filter("ENV", None)], vec![], None, false),
            (a, vec![tag_filter("env", None)], vec![], None, true),
            (a, vec![tag_filter("env", Some("dev"))], vec![], None, false),
        ] {
            let facts = |tags| Facts {
                id: account,
                units: &in_unit,
                tags,
            };
            let told = format!("{account} {include:?} {exclude:?}");
            assert_eq!(facts(None).chooses(&include, &exclude), without, "{told}");
            let chosen = facts(Some(&prod)).chooses(&include, &exclude);
            assert_eq!(chosen, Some(with), "{told}");
        }
    }
}
