//! The accounts of AWS that are read, and how.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use tokio::time::Instant;

use super::{
    Args, Aws, Limits, Origin, Pace, Patience, Settings, Strategy,
    connector::{Connector, Line},
    directory::Directory,
    failure::CallError,
    organization, setup,
};
use crate::{
    counts::RequestCounts,
    inventory,
    key::{AccountId, ArnOwner},
    policy::Policy,
    reason::Reason,
    shard::Shard,
    source::{
        Access, Discovery, Member, Progress, SourceError, UsageError,
        accounts::{AccountFilter, Accounts, DISCOVERY_INTERVAL, Organization, Role},
    },
};

/// Knows which accounts there are, and makes their readers.
#[derive(Debug)]
pub struct Fleet {
    connector: Arc<Connector>,
    /// The calls with the exporter's own credentials that no account is read by.
    hub: Line,
    strategy: Strategy,
    policy: Arc<Policy>,
    refresh_interval: Duration,
    progress: Progress,
    accounts: Accounts,
    wanted_tags: Arc<BTreeSet<Arc<str>>>,
    shard: Shard,
    look: Look,
}

/// What came of the looks so far.
#[derive(Debug, Default)]
struct Look {
    members: Vec<Member>,
    trouble: Option<SourceError>,
    /// When to look again; `None` is as soon as somebody asks, as after a failure.
    due: Option<Instant>,
    /// Whether it was said that the exporter's own account is on another shard.
    elsewhere_said: bool,
    /// The accounts of which it was said that they are no members.
    strangers: BTreeSet<AccountId>,
    /// Whose the credentials are, once that was told.
    caller: Option<ArnOwner>,
}

impl Fleet {
    /// The account of the default credentials or those of a profile, until [`Self::reconfigure`]
    /// says otherwise.
    ///
    /// Fails if `AWS_CA_BUNDLE` names no bundle that can be used, or the pod's name tells no shard.
    pub fn new(
        args: Args,
        policy: Arc<Policy>,
        refresh_interval: Duration,
        counts: Arc<RequestCounts>,
    ) -> Result<Self, UsageError> {
        let Args {
            strategy,
            profile,
            max_concurrency,
            max_total_concurrency,
            requests_per_second,
            shard,
        } = args;
        let settings = Settings {
            origin: Origin::DefaultChain { profile },
            pace: Pace {
                at_once: max_concurrency.into(),
                per_second: Some(requests_per_second),
            },
            max_total_concurrency: max_total_concurrency.into(),
            ca_bundle: setup::ca_bundle(std::env::var_os("AWS_CA_BUNDLE"))?,
            limits: Limits::default(),
            patience: Patience::default(),
        };
        let mut fleet = Self::with_settings(settings, strategy, policy, refresh_interval, counts);
        fleet.shard = shard.shard.resolve(|name| std::env::var(name).ok())?;
        Ok(fleet)
    }

    /// The same, with the SDK set up in another way than by arguments and environment.
    pub fn with_settings(
        settings: Settings,
        strategy: Strategy,
        policy: Arc<Policy>,
        refresh_interval: Duration,
        counts: Arc<RequestCounts>,
    ) -> Self {
        let connector = Connector::new(settings, counts);
        Self {
            hub: Line::new(Arc::clone(&connector), None),
            connector,
            strategy,
            policy,
            refresh_interval,
            progress: Progress::default(),
            accounts: Accounts::Own,
            wanted_tags: Arc::default(),
            shard: Shard::WHOLE,
            look: Look::default(),
        }
    }

    /// Reads these accounts from now on, and gives new readers this policy and these tags to read.
    /// What was found of other accounts is no answer any more.
    pub fn reconfigure(
        &mut self,
        accounts: &Accounts,
        policy: &Arc<Policy>,
        wanted_tags: &Arc<BTreeSet<Arc<str>>>,
    ) {
        self.policy = Arc::clone(policy);
        self.wanted_tags = Arc::clone(wanted_tags);
        if self.accounts != *accounts {
            self.accounts = accounts.clone();
            self.look.members.clear();
            self.look.trouble = None;
            self.look.due = None;
        }
    }

    /// Reads the accounts of that shard only.
    pub fn set_shard(&mut self, shard: Shard) {
        self.shard = shard;
        self.look.due = None;
    }

    /// The part of the accounts that is read.
    pub fn shard(&self) -> Shard {
        self.shard
    }

    /// The member that an account is, if it is in the organisation: all but that is told by the
    /// configuration.
    pub(in crate::source) fn presumed(&self, account: &inventory::Account) -> Option<Member> {
        let Accounts::Organization(organization) = &self.accounts else {
            return None;
        };
        let excluded = |filter: &AccountFilter| *filter == AccountFilter::Id(account.id);
        if !self.shard.holds(account.id) || organization.exclude.iter().any(excluded) {
            return None;
        }
        let listed = organization::Listed {
            id: account.id,
            name: account.name.clone(),
        };
        let (caller, partition) = (self.look.caller.as_ref(), &account.partition);
        let is_own = |caller: &&ArnOwner| caller.account == account.id;
        Some(match caller.filter(is_own) {
            Some(caller) => own(Some(caller), listed.name),
            None => through_role(organization, partition, listed),
        })
    }

    /// Tells `progress` of the users found and read by the readers made from now on.
    pub fn watch(&mut self, progress: Progress) {
        self.progress = progress;
    }

    /// Which accounts there are. Cheap unless the time for a new look has come.
    pub async fn discover(&mut self, _now: DateTime<Utc>, deadline: Instant) -> Discovery {
        match &self.accounts {
            Accounts::Own if self.shard.is_whole() => return Discovery::only(own(None, None)),
            Accounts::Listed(roles) => {
                return Discovery {
                    members: listed(roles, self.shard),
                    trouble: None,
                    next: None,
                };
            }
            Accounts::Own | Accounts::Organization(_) => {}
        }
        if self.look.due.is_none_or(|due| due <= Instant::now()) {
            self.look(deadline).await;
        }
        Discovery {
            members: self.look.members.clone(),
            trouble: self.look.trouble.clone(),
            next: self.look.due,
        }
    }

    /// Looks, and keeps what was found the last time if that fails.
    async fn look(&mut self, deadline: Instant) {
        let interval = match &self.accounts {
            Accounts::Organization(organization) => organization.discovery_interval,
            Accounts::Own | Accounts::Listed(_) => DISCOVERY_INTERVAL,
        };
        match self.find(deadline).await {
            Ok(members) => {
                self.look.members = members;
                self.look.trouble = None;
                self.look.due = Some(Instant::now() + interval);
            }
            Err(error) => {
                self.look.trouble = Some(error.into());
                self.look.due = None;
            }
        }
    }

    /// The accounts of this shard.
    async fn find(&mut self, deadline: Instant) -> Result<Vec<Member>, CallError> {
        let api = self.hub.open().await;
        let found = async {
            let caller = api.caller(deadline).await?;
            self.look.caller = Some(caller.clone());
            match &self.accounts {
                Accounts::Own | Accounts::Listed(_) => {
                    Ok((vec![own(Some(&caller), None)], BTreeSet::new()))
                }
                Accounts::Organization(wanted) => {
                    let directory = Directory::new(&self.connector, &api.base, &caller.partition);
                    let (members, strangers) =
                        organization::members(&directory, wanted, deadline).await?;
                    let members = members.into_iter();
                    let members = members.map(|listed| member(wanted, &caller, listed));
                    Ok((members.collect(), strangers))
                }
            }
        };
        let found: Result<(Vec<Member>, BTreeSet<AccountId>), CallError> = Box::pin(found).await;
        if let Err(error) = &found
            && matches!(error.reason, Reason::Credentials | Reason::ExpiredToken)
        {
            self.hub.renew(&api).await;
        }
        let (mut members, strangers) = found?;
        self.say_strangers(strangers);
        if matches!(self.accounts, Accounts::Own) {
            self.say_elsewhere(&members);
        }
        members.retain(|member| member.account.is_none_or(|id| self.shard.holds(id)));
        Ok(members)
    }

    /// Says, once, that there is nothing to read for this shard.
    fn say_elsewhere(&mut self, members: &[Member]) {
        let elsewhere = members
            .iter()
            .filter_map(|member| member.account)
            .find(|id| !self.shard.holds(*id));
        match elsewhere {
            Some(account) if !std::mem::replace(&mut self.look.elsewhere_said, true) => {
                tracing::warn!(%account, shard = %self.shard,
                    "the account of the credentials is on another shard and is not read here");
            }
            Some(_) => {}
            None => self.look.elsewhere_said = false,
        }
    }

    /// Says, once each, which accounts the filters name for nothing.
    fn say_strangers(&mut self, strangers: BTreeSet<AccountId>) {
        let new: Vec<_> = strangers
            .difference(&self.look.strangers)
            .map(AccountId::as_str)
            .collect();
        if !new.is_empty() {
            tracing::warn!(
                accounts = new.join(","),
                "include or exclude names accounts that are no active members of the organization"
            );
        }
        self.look.strangers = strangers;
    }

    /// A new reader of an account.
    pub fn reader(&mut self, member: &Member) -> Aws {
        let role = match &member.access {
            Access::Role(role) => Some(Arc::clone(role)),
            Access::Own | Access::Whole => None,
        };
        let mut aws = Aws::new(
            Line::new(Arc::clone(&self.connector), role),
            self.strategy,
            &self.policy,
            self.refresh_interval,
        );
        aws.reconfigure(&self.policy, Arc::clone(&self.wanted_tags));
        aws.watch(self.progress.clone());
        aws.rename(member.name.clone());
        aws
    }
}

/// The account of the exporter's own credentials.
fn own(caller: Option<&ArnOwner>, name: Option<Arc<str>>) -> Member {
    Member {
        account: caller.map(|caller| caller.account),
        name,
        access: Access::Own,
    }
}

/// The accounts of the roles, each once.
fn listed(roles: &[Role], shard: Shard) -> Vec<Member> {
    let mut seen = BTreeSet::new();
    roles
        .iter()
        .filter(|role| shard.holds(role.arn.account()) && seen.insert(role.arn.account()))
        .map(|role| Member {
            account: Some(role.arn.account()),
            name: role.name.clone(),
            access: Access::Role(Arc::new(role.clone())),
        })
        .collect()
}

/// A member of an organisation. The exporter's own account needs no role.
fn member(organization: &Organization, caller: &ArnOwner, listed: organization::Listed) -> Member {
    if listed.id == caller.account {
        return own(Some(caller), listed.name);
    }
    through_role(organization, &caller.partition, listed)
}

/// A member of an organisation that is read through its role.
fn through_role(
    organization: &Organization,
    partition: &Arc<str>,
    organization::Listed { id, name }: organization::Listed,
) -> Member {
    let role = Role {
        arn: organization.role_name.in_account(partition, id),
        external_id: organization.external_id.clone(),
        session_name: organization.session_name.clone(),
        name: None,
        region: organization.region.clone(),
    };
    Member {
        account: Some(id),
        name,
        access: Access::Role(Arc::new(role)),
    }
}
