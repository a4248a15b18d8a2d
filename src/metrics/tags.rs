//! The users' tags as labels.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use prometheus_client::encoding::DescriptorEncoder;

use super::keys::{gauge, inventories};
use crate::{inventory::User, snapshot::Snapshot};

/// Writes the family of user tags.
pub(super) fn encode(snapshot: &Snapshot, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let mut family = gauge(
        encoder,
        "aws_iam_user_tags_info",
        "The user's IAM tags that were asked for, as labels, as of the last listing of the user; absent without one.",
    )?;
    let names = label_names(snapshot);
    let mut labels = Vec::new();
    for (account, inventory) in inventories(snapshot) {
        let has_tags = |user: &&User| user.tags.iter().next().is_some();
        for user in inventory.users.iter().filter(has_tags) {
            labels.clear();
            labels.extend([("account_id", account), ("user_name", &*user.name)]);
            labels.extend(user_labels(user, &names));
            family.encode_family(&labels)?.encode_gauge(&1_u32)?;
        }
    }
    Ok(())
}

/// The user's tags as labels by tag key, the first value where a key comes twice: a label that
/// comes twice in one series would fail the whole scrape.
fn user_labels<'a>(
    user: &'a User,
    names: &'a BTreeMap<&str, String>,
) -> impl Iterator<Item = (&'a str, &'a str)> {
    let mut first = BTreeMap::new();
    for tag in user.tags.iter() {
        first.entry(&*tag.key).or_insert(&*tag.value);
    }
    first
        .into_iter()
        .filter_map(|(key, value)| Some((names.get(key)?.as_str(), value)))
}

/// The label of each tag key in use: `tag_` and the key with `_` for whatever a label name can't
/// hold. Keys that would come out the same are told apart by `_2`, `_3`, … in their order, the
/// same for all users.
fn label_names(snapshot: &Snapshot) -> BTreeMap<&str, String> {
    let keys: BTreeSet<&str> = inventories(snapshot)
        .flat_map(|(_, inventory)| &inventory.users)
        .flat_map(|user| user.tags.iter())
        .map(|tag| &*tag.key)
        .collect();
    let mut taken = BTreeSet::new();
    keys.into_iter()
        .map(|key| {
            let plain = label_name(key);
            let mut name = plain.clone();
            let mut n = 1;
            while taken.contains(&name) {
                n += 1;
                name = format!("{plain}_{n}");
            }
            taken.insert(name.clone());
            (key, name)
        })
        .collect()
}

fn label_name(key: &str) -> String {
    let legal = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    "tag_".chars().chain(key.chars().map(legal)).collect()
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use chrono::DateTime;

    use super::*;
    use crate::{
        inventory::{Account, Inventory, Listing, RootKeys, Tag, Tags},
        policy::Policy,
        snapshot::{AccountState, KeyIdDisplay},
    };

    fn snapshot(users: &[&[(&str, &str)]]) -> Snapshot {
        let id = "123456789012".parse().unwrap();
        let users: Vec<User> = users
            .iter()
            .enumerate()
            .map(|(n, tags)| {
                let mut user = User::read(format!("user-{n}"), Vec::new());
                let tag = |(key, value): &(&str, &str)| Tag {
                    key: (*key).into(),
                    value: (*value).into(),
                };
                user.tags = Tags::Known(tags.iter().map(tag).collect());
                user
            })
            .collect();
        let inventory = Inventory {
            account: Account {
                id,
                partition: "aws".into(),
                name: None,
                alias: None,
            },
            user_count: Some(users.len()),
            users,
            root: RootKeys::default(),
            data_time: DateTime::UNIX_EPOCH,
            listing: Listing::Complete,
            troubles: Vec::new(),
        };
        let mut snapshot = Snapshot::before_first_refresh(
            Arc::new(Policy::default()),
            KeyIdDisplay::Full,
            Duration::from_mins(5),
        );
        snapshot.accounts.push(AccountState {
            id,
            inventory: Some(Arc::new(inventory)),
            reached: true,
            failures: Vec::new(),
            last_success: None,
            duration: Duration::ZERO,
        });
        snapshot
    }

    #[test]
    fn a_tag_key_becomes_a_legal_label_name() {
        for (key, label) in [
            ("owner", "tag_owner"),
            ("Cost-Center", "tag_Cost_Center"),
            ("aws:createdBy", "tag_aws_createdBy"),
            ("größe 1/2", "tag_gr__e_1_2"),
            ("1st", "tag_1st"),
            ("", "tag_"),
        ] {
            assert_eq!(label_name(key), label);
        }
    }

    #[test]
    fn keys_that_would_share_a_label_keep_one_each_for_all_users() {
        let snapshot = snapshot(&[
            &[("a_b", "1")],
            &[("a-b", "2"), ("a_b", "3")],
            &[("a_b_2", "4"), ("a.b", "5")],
        ]);
        let names = label_names(&snapshot);
        assert_eq!(
            names.into_iter().collect::<Vec<_>>(),
            [
                ("a-b", "tag_a_b".to_owned()),
                ("a.b", "tag_a_b_2".to_owned()),
                ("a_b", "tag_a_b_3".to_owned()),
                ("a_b_2", "tag_a_b_2_2".to_owned()),
            ]
        );
    }

    #[test]
    fn a_tag_key_that_comes_twice_gives_one_label() {
        let snapshot = snapshot(&[&[("team", "a"), ("team", "b")]]);
        let names = label_names(&snapshot);
        let inventory = snapshot.accounts[0].inventory.as_ref().unwrap();
        let labels: Vec<_> = user_labels(&inventory.users[0], &names).collect();
        assert_eq!(labels, [("tag_team", "a")]);
    }
}
