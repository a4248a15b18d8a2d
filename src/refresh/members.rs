//! Members that come, change and go.

use std::{collections::BTreeSet, sync::Arc};

use backon::ExponentialBackoff;
use chrono::{DateTime, Utc};
use tokio::{sync::oneshot, time::Instant};

use super::{refresher::Refresher, turns::Key};
use crate::{
    key::AccountId,
    reason::Reason,
    snapshot::AccountState,
    source::{Discovery, Member, Reader, Source},
};

/// When to look for members, and what the last look gave.
#[derive(Debug)]
pub(super) struct Looking {
    pub(super) due: Option<Instant>,
    pub(super) retries: ExponentialBackoff,
    /// Whether members were found without trouble once under the configuration in force: until then
    /// nobody is known to be gone.
    pub(super) succeeded: bool,
    /// When members were last found without trouble, where they have to be looked for.
    pub(super) last_success: Option<DateTime<Utc>>,
    /// Whether it was tried.
    pub(super) tried: bool,
    pub(super) trouble: Option<Reason>,
    /// Ends the look under way, whose answer is out of date.
    pub(super) call_off: Option<oneshot::Sender<()>>,
}

impl Refresher {
    /// Looks for members at once, whatever look is under way: they are others now.
    pub(super) fn look_again(&mut self, now: Instant) {
        self.discovery.due = Some(now);
        self.discovery.succeeded = false;
        if let Some(call_off) = self.discovery.call_off.take() {
            // It may have ended just now; what it found doesn't count all the same.
            let _ = call_off.send(());
        }
    }

    /// Takes in the members found.
    pub(super) fn discovered(&mut self, mut source: Source, found: Option<Discovery>) {
        let is_called_off = self.discovery.call_off.take().is_none();
        let Some(found) = found.filter(|_| !is_called_off) else {
            self.source = Some(source);
            return;
        };
        let Discovery {
            members,
            trouble,
            next,
        } = found;
        let now = Instant::now();
        self.said.say_discovery(trouble.as_ref());
        self.discovery.tried = true;
        let reason = trouble.as_ref().map(|error| error.reason);
        self.discovery.trouble = reason;
        if members.is_empty() {
            self.publish_soon();
        } else {
            self.publish_shortly();
        }
        if let Some(error) = &trouble {
            self.counts.count(None, &[error.reason]);
            let retry = self.timing.after_failure(&mut self.discovery.retries, now);
            self.discovery.due = Some(next.map_or(retry, |next| next.min(retry)));
        } else {
            self.discovery.succeeded = true;
            self.discovery.retries = self.timing.retries();
            self.discovery.due = next;
            // Without a next look there is none to speak of: the configuration says it all.
            self.discovery.last_success = next.map(|_| self.clock.now());
            self.said.say_empty(members.is_empty());
        }

        let staying: BTreeSet<Key> = members.iter().map(|member| member.account).collect();
        let mut gone = 0_usize;
        // A look that failed tells of nobody that they are gone.
        if trouble.is_none() {
            for key in self.turns.keys() {
                if !staying.contains(&key) {
                    self.turns.remove(key);
                    gone += 1;
                    if key.is_none() {
                        self.unidentified = None;
                    }
                }
            }
        }
        let total = members.len();
        let mut new = 0_usize;
        for member in members {
            match self.turns.get_mut(member.account) {
                Some(turn) if turn.member.access == member.access => turn.member = member,
                known => {
                    new += usize::from(known.is_none());
                    let known = known.is_some();
                    let reader = source.reader(&member);
                    self.add(member, reader, known, now);
                }
            }
        }
        if (new, gone) != (0, 0) && (gone > 0 || !staying.contains(&None)) {
            tracing::info!(accounts = total, new, gone, "accounts discovered");
        }
        if let Some(reason) = reason {
            self.presume(&mut source, now);
            self.own_up(reason);
        }
        self.source = Some(source);
        self.forget_who_is_gone();
    }

    /// While nobody could tell who the members are, those known from before a restart are read on in
    /// the way that the configuration gives them.
    fn presume(&mut self, source: &mut Source, now: Instant) {
        if self.discovery.succeeded {
            return;
        }
        for state in self.without_turn() {
            let member = state
                .inventory
                .as_ref()
                .and_then(|inventory| source.presumed(&inventory.account));
            if let Some(member) = member {
                let reader = source.reader(&member);
                self.add(member, reader, false, now);
            }
        }
    }

    /// Whatever nobody reads is not up, and so nobody takes it for fresh.
    pub(super) fn own_up(&mut self, reason: Reason) {
        for AccountState { id, .. } in self.without_turn() {
            if self.known.give_up(id, reason) {
                self.publish_soon();
                self.saving.soon(Instant::now());
            }
        }
    }

    /// The accounts that are known and that no member is.
    fn without_turn(&self) -> Vec<AccountState> {
        let read: BTreeSet<AccountId> = self
            .turns
            .iter()
            .flat_map(|turn| {
                turn.accounts
                    .iter()
                    .flatten()
                    .copied()
                    .chain(turn.member.account)
            })
            .collect();
        let mut states = self.known.states();
        states.retain(|state| !read.contains(&state.id));
        states
    }

    /// Adds a member. Of one that there are data of already, from before a restart, the next refresh
    /// comes when it would have come; else it comes now.
    fn add(&mut self, member: Member, mut reader: Reader, is_replaced: bool, now: Instant) {
        let account = member.account;
        let state = account.and_then(|id| self.known.get(id));
        let is_tried = state.is_some();
        let due = match state {
            Some(AccountState {
                id,
                last_success: Some(last),
                failures,
                ..
            }) if failures.is_empty()
                && !is_replaced
                && self.saving.was_read_for(*id, &self.aim) =>
            {
                self.timing.after_restart(*id, *last)
            }
            _ => now,
        };
        let remembered = self.saving.take_remembered(account);
        if let Some((account, remembered)) = &remembered {
            reader.restore(*account, Arc::clone(remembered));
        }
        self.turns.add(member, reader, due, self.timing.retries());
        if let Some(turn) = self.turns.get_mut(account) {
            turn.tried |= is_tried;
            turn.remembered = turn.remembered.take().or(remembered);
        }
    }

    /// Forgets every account that no member is, once that can be told.
    pub(super) fn forget_who_is_gone(&mut self) {
        if !self.discovery.succeeded {
            return;
        }
        let mut kept: BTreeSet<AccountId> = BTreeSet::new();
        for turn in self.turns.iter() {
            match (turn.member.account, &turn.accounts) {
                (Some(id), _) => {
                    kept.insert(id);
                }
                (None, Some(accounts)) => kept.extend(accounts),
                // It may be any of those known from before.
                (None, None) => return,
            }
        }
        for id in self.known.keep_only(&kept) {
            self.said.forget(id);
            self.counts.forget(id);
            self.saving.forget(id);
            self.publish_soon();
            self.saving.soon(Instant::now());
        }
    }
}
