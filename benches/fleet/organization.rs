//! The organization that is read: a double of AWS on a thread of its own.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};

use super::support::fake_aws::{FakeAws, Population, Site};

/// What the organization is like.
#[derive(Clone, Copy)]
pub(crate) struct Size {
    pub(crate) accounts: usize,
    pub(crate) users: usize,
    pub(crate) keys_per_user: usize,
    pub(crate) overdue_percent: usize,
    pub(crate) latency: Duration,
    /// Calls of IAM a second that each account lets through.
    pub(crate) rate: u32,
}

impl Size {
    pub(crate) fn keys(&self) -> usize {
        self.accounts * self.users * self.keys_per_user
    }
}

/// The role in each account.
pub(crate) const ROLE: &str = "iam-key-exporter";

/// The double, and its accounts with that of the management first.
pub(crate) struct Organization {
    pub(crate) aws: FakeAws,
    pub(crate) sites: Vec<Arc<Site>>,
}

impl Organization {
    /// Makes it, with a credential report in each account.
    pub(crate) fn settle(wanted: Size, now: DateTime<Utc>) -> Self {
        let aws = FakeAws::start_on_thread();
        aws.keep_no_log();
        aws.set_latency(wanted.latency);
        aws.set_rate_limit(wanted.rate.into(), wanted.rate);
        let population = Population {
            users: wanted.users,
            keys_per_user: wanted.keys_per_user,
            overdue_percent: wanted.overdue_percent,
            now,
        };
        let mut sites = vec![aws.site("123456789012")];
        for number in 1..wanted.accounts {
            let id = format!("{:012}", 200_000_000_000 + number);
            let site = aws.add_account(&id);
            site.account().add_role(ROLE);
            aws.organization().add(&id, &format!("team-{number:04}"));
            sites.push(site);
        }
        for site in &sites {
            let mut account = site.account();
            population.settle(&mut account);
            account.complete_report();
        }
        Self { aws, sites }
    }

    /// Starts counting anew in every account.
    pub(crate) fn reset_counts(&self) {
        for site in &self.sites {
            site.reset_counts();
        }
    }

    /// What the accounts were asked since the counts were reset.
    pub(crate) fn calls(&self) -> usize {
        self.sites.iter().map(|site| site.counts().total()).sum()
    }

    /// How many of these calls were throttled.
    pub(crate) fn throttled(&self) -> usize {
        self.sites
            .iter()
            .map(|site| site.counts().throttled())
            .sum()
    }

    /// Lets one account in a hundred hang, those of the end.
    pub(crate) fn hang_one_percent(&self) -> &[Arc<Site>] {
        let healthy = self.sites.len() - self.sites.len() / 100;
        for site in &self.sites[healthy..] {
            site.hang();
        }
        &self.sites[..healthy]
    }
}
