//! A row with all that is said of it.

use chrono::{DateTime, TimeDelta, Utc};

use super::Row;
use crate::{
    inventory::Inventory,
    plan::{
        advice::{Advice, Grounds, advise},
        command::{Cli, Command},
    },
    snapshot::Snapshot,
};

/// A row, its key under the name that may be shown, and the plan's advice for its user.
#[derive(Debug, Clone)]
pub struct Item<'a> {
    /// The row.
    pub row: Row<'a>,
    /// The name that the key is shown by.
    pub key_name: Option<String>,
    /// The key's age.
    pub age: Option<TimeDelta>,
    /// The time until the key turns overdue, if it is active; less than none if it is.
    pub left: Option<TimeDelta>,
    /// What to do next for the user, as `plan` says it; none where there is nothing to do or the user
    /// could not be read.
    pub advice: Option<Advice>,
    /// The commands for that, each with what it is for.
    pub commands: Vec<(&'static str, Command)>,
}

impl<'a> Item<'a> {
    /// All that is said of `row`, which is one of `snapshot`.
    pub fn new(row: Row<'a>, snapshot: &Snapshot, now: DateTime<Utc>) -> Self {
        let grounds = Grounds {
            policy: &snapshot.policy,
            key_ids: snapshot.key_ids,
            now,
            known_until: row.inventory.data_time,
        };
        let advice = advise(row.account.id, row.user, &grounds);
        let cli = cli(row.inventory);
        let commands = advice.iter().flat_map(|advice| {
            let user = &*advice.user;
            let cli = &cli;
            advice.actions.iter().filter_map(move |action| {
                let purpose = action.purpose().trim_end_matches(':');
                Some((purpose, action.command(user, cli)?))
            })
        });
        Self {
            row,
            key_name: row
                .key
                .map(|_| snapshot.key_ids.names(row.user).swap_remove(row.ordinal)),
            age: row.key.map(|key| key.age(now)),
            left: row.due.map(|due| due - now),
            commands: commands.collect(),
            advice,
        }
    }
}

/// What the commands are given: nothing that the reader's own configuration knows better, but a
/// region where the AWS CLI would otherwise ask another partition.
fn cli(inventory: &Inventory) -> Cli {
    let region = match &*inventory.account.partition {
        "aws-cn" => Some("cn-north-1"),
        "aws-us-gov" => Some("us-gov-west-1"),
        _ => None,
    };
    Cli {
        profile: None,
        region: region.map(str::to_owned),
    }
}

/// A service or region of a last use; AWS writes N/A where it doesn't know, or where there is none.
pub fn told(text: &str) -> Option<&str> {
    Some(text).filter(|text| !matches!(*text, "N/A" | ""))
}
