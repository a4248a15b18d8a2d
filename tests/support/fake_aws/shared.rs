//! What the server's tasks and the handle share: the accounts, the organization, and what is let through to all.

use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use super::account::Account;
use super::fault::Action;
use super::iam;
use super::operation::{Operation, Service};
use super::organization::Organization;
use super::organizations::{self, Asker};
use super::session::{self, Caller};
use super::site::Site;
use super::traffic::{Call, Traffic};
use super::wire::{Failure, Form};

/// Everything. The locks are of std: none is ever held across an await.
pub(super) struct Shared {
    /// The account of all credentials but those of sessions.
    pub(super) home: Arc<Site>,
    /// All other accounts, by id.
    members: RwLock<BTreeMap<String, Arc<Site>>>,
    organization: Mutex<Option<Organization>>,
    traffic: Mutex<Traffic>,
    settings: Mutex<Settings>,
}

/// What goes for all accounts.
#[derive(Default)]
pub(super) struct Settings {
    pub(super) session_lifetime: Option<Duration>,
    /// Calls of IAM a second, and at once, of accounts to come.
    limit: Option<(f64, u32)>,
}

/// Everything that is decided about a call before it is answered.
pub(super) struct Decision {
    pub(super) delay: Duration,
    pub(super) action: Option<Action>,
}

impl Default for Shared {
    fn default() -> Self {
        Self {
            home: Arc::new(Site::new(Account::new("123456789012"))),
            members: RwLock::default(),
            organization: Mutex::default(),
            traffic: Mutex::default(),
            settings: Mutex::default(),
        }
    }
}

impl Shared {
    pub(super) fn traffic(&self) -> MutexGuard<'_, Traffic> {
        lock(&self.traffic)
    }

    pub(super) fn settings(&self) -> MutexGuard<'_, Settings> {
        lock(&self.settings)
    }

    pub(super) fn organization(&self) -> OrganizationGuard<'_> {
        let management = self.home.account().id.clone();
        let mut organization = lock(&self.organization);
        organization.get_or_insert_with(|| Organization::of(&management));
        OrganizationGuard(organization)
    }

    pub(super) fn add(&self, id: &str) -> Arc<Site> {
        assert!(
            id.len() == 12 && id.bytes().all(|byte| byte.is_ascii_digit()),
            "{id:?} is no account id"
        );
        assert!(self.site(id).is_none(), "there is an account {id}");
        let site = Arc::new(Site::new(Account::new(id).with_unique_ids()));
        if let Some((per_second, burst)) = self.settings().limit {
            site.set_rate_limit(Service::Iam, per_second, burst);
        }
        self.members
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(id.to_owned(), Arc::clone(&site));
        site
    }

    pub(super) fn remove(&self, id: &str) {
        self.members
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(id);
    }

    pub(super) fn site(&self, id: &str) -> Option<Arc<Site>> {
        // A test may give the first account another id at any time.
        if self.home.account().id == id {
            return Some(Arc::clone(&self.home));
        }
        self.members
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(id)
            .cloned()
    }

    /// The account that a caller's credentials are of, if there is one.
    pub(super) fn site_of(&self, caller: Option<&Caller>) -> Option<Arc<Site>> {
        match caller.and_then(Caller::account_id) {
            None => Some(Arc::clone(&self.home)),
            Some(id) => self.site(id),
        }
    }

    /// Sets the limit of IAM of all accounts, those to come included.
    pub(super) fn limit(&self, limit: Option<(f64, u32)>) {
        self.settings().limit = limit;
        let members = self.members.read().unwrap_or_else(PoisonError::into_inner);
        for site in members.values().chain([&self.home]) {
            match limit {
                Some((per_second, burst)) => site.set_rate_limit(Service::Iam, per_second, burst),
                None => site.clear_rate_limits(),
            }
        }
    }

    /// Logs a call, counts it, and decides it.
    pub(super) fn admit(&self, site: &Site, operation: Operation, form: &Form) -> Decision {
        let account = site.account().id.clone();
        let mut call = Call::new(account, operation, form);
        let mut traffic = self.traffic();
        let (delay, decided) = traffic.faults.decide(&call);
        let passage = site.pass(&mut call, decided);
        let latency = passage.latency.unwrap_or(traffic.latency);
        traffic.log(call);
        Decision {
            delay: latency + delay + passage.delay,
            action: passage.action,
        }
    }

    /// The proper answer: the inside of the `…Result` element, or a body in JSON.
    pub(super) fn answer(
        &self,
        operation: Operation,
        site: &Site,
        caller: &str,
        form: &Form,
    ) -> Result<String, Failure> {
        if operation == Operation::AssumeRole {
            let target = session::account_of_role(form).and_then(|id| self.site(id));
            let lifetime = self.settings().session_lifetime;
            return session::assume_role(caller, target.as_deref(), lifetime, form);
        }
        if operation.service() == Service::Organizations {
            let (account, partition) = {
                let account = site.account();
                (account.id.clone(), account.partition.clone())
            };
            let asker = Asker {
                account: &account,
                partition: &partition,
            };
            return organizations::answer(
                operation,
                lock(&self.organization).as_ref(),
                &asker,
                form,
            );
        }
        iam::answer(operation, &mut site.account(), caller, form)
    }
}

/// The organization, to be read and changed.
pub struct OrganizationGuard<'a>(MutexGuard<'a, Option<Organization>>);

const THERE: &str = "it was made when the guard was";

impl Deref for OrganizationGuard<'_> {
    type Target = Organization;

    fn deref(&self) -> &Organization {
        self.0.as_ref().expect(THERE)
    }
}

impl DerefMut for OrganizationGuard<'_> {
    fn deref_mut(&mut self) -> &mut Organization {
        self.0.as_mut().expect(THERE)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
