use std::{collections::HashSet, sync::Arc, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;

use super::{
    cursor::{self, Cursor},
    item::Item,
    parameters::{Surface, link, parse},
    query::{Filter, Order, Query, Sort, Start, StatusFilter, VERDICTS},
    *,
};
use crate::{
    inventory::{Account, Exemption, Inventory, Listing, RootKeys, User},
    key::{AccessKey, KeyName, KeyStatus, LastUse, UsedAt},
    plan::advice::{Grounds, advise},
    policy::Policy,
    reason::Reason,
    snapshot::{AccountState, KeyIdDisplay},
};

fn now() -> DateTime<Utc> {
    "2026-06-01T12:00:00Z".parse().unwrap()
}

fn any_key() -> impl Strategy<Value = AccessKey> {
    let status = prop_oneof![
        6 => Just("Active"), 2 => Just("Inactive"), 1 => Just("Expired"), 1 => Just("Odd")
    ];
    // Few values, so that many are equal.
    let last_use = prop_oneof![
        Just(LastUse::Never),
        Just(LastUse::Unknown),
        (0_i64..5).prop_map(|weeks| LastUse::At(UsedAt::new(
            now() - TimeDelta::weeks(weeks * 3),
            "s3",
            "N/A"
        ))),
    ];
    ("[A-C]{2}", status, 0_i64..8, last_use).prop_map(|(id, status, months, last_use)| AccessKey {
        name: KeyName::Id(format!("AKIA{id}").into()),
        status: KeyStatus::from(status),
        created: now() - TimeDelta::days(months * 30 + 5),
        last_use,
    })
}

fn any_user() -> impl Strategy<Value = User> {
    let exemption = prop_oneof![
        4 => Just(None),
        1 => (-20_i64..20).prop_map(|days| Some(Exemption {
            reason: "why".into(),
            until: Some(now() + TimeDelta::days(days)),
        })),
        1 => Just(Some(Exemption { reason: "why".into(), until: None })),
    ];
    let max_age = prop_oneof![4 => Just(None), 1 => Just(Some(TimeDelta::days(200)))];
    (
        "[abAB]{1,3}",
        prop::collection::vec(any_key(), 0..4),
        prop::bool::weighted(0.2),
        exemption,
        max_age,
    )
        .prop_map(|(name, keys, is_unread, exemption, max_age)| {
            let user = if is_unread {
                User::unread(name, keys, Reason::Timeout)
            } else {
                User::read(name, keys)
            };
            User {
                max_age: max_age.map(Into::into),
                exemption: exemption.map(Arc::new),
                ..user
            }
        })
}

fn account(number: usize, users: Option<Vec<User>>) -> AccountState {
    let id = format!("{number:012}").parse().unwrap();
    let inventory = users.map(|users| Inventory {
        account: Account {
            id,
            partition: "aws".into(),
            name: None,
            alias: None,
        },
        user_count: Some(users.len()),
        users,
        root: RootKeys::default(),
        data_time: now() - TimeDelta::hours(2),
        listing: Listing::Complete,
        troubles: Vec::new(),
    });
    AccountState {
        id,
        reached: inventory.is_some(),
        failures: inventory
            .as_ref()
            .map_or(vec![Reason::Network], Inventory::reasons),
        inventory: inventory.map(Arc::new),
        last_success: None,
        duration: Duration::ZERO,
    }
}

fn snapshot(accounts: Vec<AccountState>, key_ids: KeyIdDisplay) -> Snapshot {
    Snapshot {
        accounts,
        tried: true,
        ..Snapshot::before_first_refresh(
            Arc::new(Policy::default()),
            key_ids,
            Duration::from_mins(5),
        )
    }
}

fn any_snapshot() -> impl Strategy<Value = Snapshot> {
    let users = prop::collection::vec(any_user(), 0..12).prop_map(|mut users| {
        let mut seen = HashSet::new();
        users.retain(|user| seen.insert(Arc::clone(&user.name)));
        users
    });
    let accounts = prop::collection::vec(prop::option::weighted(0.9, users), 0..3);
    let key_ids = prop::sample::select(KeyIdDisplay::ALL.map(|(_, way)| way).to_vec());
    (accounts, key_ids).prop_map(|(accounts, key_ids)| {
        let accounts = accounts.into_iter().enumerate();
        let accounts = accounts.map(|(number, users)| account(number, users));
        snapshot(accounts.collect(), key_ids)
    })
}

fn any_filter() -> impl Strategy<Value = Filter> {
    let verdicts = VERDICTS.map(|(_, verdict)| verdict).to_vec();
    let statuses = StatusFilter::ALL.map(|(_, status)| status).to_vec();
    (
        prop::option::weighted(0.2, 0_usize..4),
        prop::option::weighted(0.3, "[abAB]"),
        prop::option::weighted(0.2, prop::sample::select(statuses)),
        prop::option::weighted(0.2, prop::sample::select(verdicts)),
        prop::option::weighted(0.2, prop::sample::select(Step::NAMES.to_vec())),
        prop::option::weighted(0.2, any::<bool>()),
    )
        .prop_map(|(account, user, status, verdict, step, exempt)| Filter {
            account: account.map(|number| format!("{number:012}").parse().unwrap()),
            user,
            status,
            verdict,
            step,
            exempt,
        })
}

fn any_query() -> impl Strategy<Value = Query> {
    (
        any_filter(),
        prop::sample::select(Sort::ALL.map(|(_, sort)| sort).to_vec()),
        prop::sample::select(Order::ALL.map(|(_, order)| order).to_vec()),
        1_usize..9,
    )
        .prop_map(|(filter, sort, order, limit)| Query {
            filter,
            sort,
            order,
            limit,
            start: Start::Offset(0),
        })
}

/// What tells a row from the others.
fn name(row: &Row<'_>) -> (String, String, Option<String>) {
    let key = row.key.map(|key| key.name.to_string());
    (row.account.id.to_string(), row.user.name.to_string(), key)
}

/// An account, its inventory, a user of it, and one of their keys with its place.
type Place<'a> = (
    &'a AccountState,
    &'a Arc<Inventory>,
    &'a User,
    Option<&'a AccessKey>,
    usize,
);

/// Every row there is.
fn all(snapshot: &Snapshot) -> Vec<Place<'_>> {
    let mut rows = Vec::new();
    for account in &snapshot.accounts {
        let Some(inventory) = &account.inventory else {
            continue;
        };
        for user in &inventory.users {
            let mut keys: Vec<_> = user.keys.iter().map(Some).enumerate().collect();
            if keys.is_empty() && user.reading != crate::inventory::Reading::Complete {
                keys.push((0, None));
            }
            rows.extend(
                keys.into_iter()
                    .map(|(ordinal, key)| (account, inventory, user, key, ordinal)),
            );
        }
    }
    rows
}

fn verdict_of(policy: &Policy, user: &User, key: Option<&AccessKey>) -> Verdict {
    key.map_or(Verdict::Error, |key| policy.verdict(user, key, now()))
}

fn is_wanted(snapshot: &Snapshot, query: &Query, row: &Place<'_>) -> bool {
    let (account, inventory, user, key, _) = *row;
    let policy = &snapshot.policy;
    let wanted = &query.filter;
    let step = crate::rotation::step(user, policy, now(), inventory.seen(user, now())).name();
    let status = key.map(|key| match key.status.as_str() {
        "Active" => StatusFilter::Active,
        "Inactive" => StatusFilter::Inactive,
        "Expired" => StatusFilter::Expired,
        _ => StatusFilter::Other,
    });
    let lower = user.name.to_lowercase();
    (wanted.account.is_none() || wanted.account == Some(account.id))
        && wanted
            .user
            .iter()
            .all(|part| lower.contains(&part.to_lowercase()))
        && (wanted.status.is_none() || wanted.status == status)
        && (wanted.verdict.is_none() || wanted.verdict == Some(verdict_of(policy, user, key)))
        && (wanted.step.is_none() || wanted.step == Some(step))
        && (wanted.exempt.is_none() || wanted.exempt == Some(user.is_exempt(now())))
}

/// The value that rows are ordered by, in the words of the documentation.
fn value_of(snapshot: &Snapshot, query: &Query, row: &Place<'_>) -> Option<(i64, String)> {
    let policy = &snapshot.policy;
    let (account, inventory, user, key, ordinal) = *row;
    let due = key
        .filter(|key| key.is_active())
        .map(|key| policy.of(user).due_instant(key.created).timestamp());
    let text = |text: &str| Some((0, text.to_owned()));
    match query.sort {
        Sort::Urgency => {
            let place = VERDICTS
                .iter()
                .position(|(_, v)| *v == verdict_of(policy, user, key))
                .unwrap();
            let far = i64::MAX / 8;
            Some((
                i64::try_from(place).unwrap() * far + due.unwrap_or(far - 1),
                String::new(),
            ))
        }
        Sort::Account => text(account.id.as_str()),
        Sort::User => text(&user.name),
        Sort::Key => key.and_then(|_| text(&snapshot.key_ids.names(user)[ordinal])),
        Sort::Status => key.and_then(|key| text(key.status.as_str())),
        Sort::Age => key.map(|key| (key.age(now()).num_seconds(), String::new())),
        Sort::Left => due.map(|due| (due, String::new())),
        Sort::LastUsed => key.and_then(|key| match &key.last_use {
            LastUse::At(last) => Some((last.time.timestamp(), String::new())),
            LastUse::Never => Some((i64::MIN, String::new())),
            LastUse::Unknown => None,
        }),
        Sort::Step => {
            let step = crate::rotation::step(user, policy, now(), inventory.seen(user, now()));
            let place = Step::NAMES
                .iter()
                .position(|name| *name == step.name())
                .unwrap();
            (place > 0).then(|| (i64::try_from(place).unwrap(), String::new()))
        }
    }
}

/// The rows as one would get them without a thought for speed: all of them, thrown out one by one and
/// sorted whole. What has no value comes last either way.
fn naive(snapshot: &Snapshot, query: &Query) -> Vec<(String, String, Option<String>)> {
    let mut rows = all(snapshot);
    rows.retain(|row| is_wanted(snapshot, query, row));
    let flip = query.order == Order::Descending;
    let value = |row: &Place<'_>| value_of(snapshot, query, row);
    rows.sort_by(|a, b| {
        let (x, y) = (value(a), value(b));
        let by_value = match (&x, &y) {
            (Some(x), Some(y)) if flip => y.cmp(x),
            (Some(x), Some(y)) => x.cmp(y),
            _ => x.is_none().cmp(&y.is_none()),
        };
        let rest = |row: &Place<'_>| {
            (
                row.0.id,
                Arc::clone(&row.2.name),
                row.3.map(|key| key.created),
                row.4,
            )
        };
        by_value.then_with(|| rest(a).cmp(&rest(b)))
    });
    rows.iter()
        .map(|(account, _, user, key, _)| {
            let key = key.map(|key| key.name.to_string());
            (account.id.to_string(), user.name.to_string(), key)
        })
        .collect()
}

proptest! {
    #[test]
    fn pages_are_disjoint_and_together_all_rows_in_order(
        snapshot in any_snapshot(),
        query in any_query(),
    ) {
        let expected = naive(&snapshot, &query);
        let mut found = Vec::new();
        let mut query = query;
        loop {
            query.start = Start::Offset(found.len());
            let page = select(&snapshot, &query, now());
            prop_assert_eq!(page.total, expected.len());
            prop_assert!(page.rows.len() <= query.limit);
            found.extend(page.rows.iter().map(name));
            prop_assert_eq!(page.has_more, found.len() < expected.len());
            if !page.has_more {
                break;
            }
        }
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn cursors_lead_through_all_rows_in_the_same_order(
        snapshot in any_snapshot(),
        query in any_query(),
    ) {
        let expected = naive(&snapshot, &query);
        let mut found = Vec::new();
        let mut query = query;
        loop {
            let page = select(&snapshot, &query, now());
            prop_assert_eq!(page.total, expected.len());
            found.extend(page.rows.iter().map(name));
            let Some(last) = page.rows.last().filter(|_| page.has_more) else {
                break;
            };
            let text = cursor::after(*last, &query, snapshot.key_ids);
            let cursor = Cursor::read(&text, query.sort, query.order);
            query.start = Start::After(cursor.unwrap());
        }
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn a_row_gone_between_two_pages_neither_hides_nor_repeats_another(
        snapshot in any_snapshot(),
        query in any_query(),
        gone in any::<prop::sample::Index>(),
    ) {
        let query = Query {
            filter: Filter::default(),
            limit: query.limit.min(3),
            ..query
        };
        let first = select(&snapshot, &query, now());
        if !first.has_more {
            return Ok(());
        }
        let seen: Vec<_> = first.rows.iter().map(name).collect();
        let last = *first.rows.last().unwrap();
        let text = cursor::after(last, &query, snapshot.key_ids);
        // One of the users seen is deleted, with all their keys.
        let (account, user, _) = gone.get(&seen).clone();
        let mut later = snapshot.clone();
        for state in &mut later.accounts {
            if state.id.as_str() == account && let Some(inventory) = &mut state.inventory {
                Arc::make_mut(inventory).users.retain(|each| *each.name != *user);
            }
        }
        let rest = Query {
            start: Start::After(Cursor::read(&text, query.sort, query.order).unwrap()),
            limit: 1000,
            ..query.clone()
        };
        let found: Vec<_> = select(&later, &rest, now()).rows.iter().map(name).collect();
        let expected: Vec<_> = naive(&snapshot, &query)
            .into_iter()
            .skip(seen.len())
            .filter(|(a, u, _)| (a, u) != (&account, &user))
            .collect();
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn the_step_is_that_of_the_rotation_and_the_command_that_of_the_plan(
        snapshot in any_snapshot(),
    ) {
        let query = parse(Some("limit=1000"), Surface::Api).unwrap();
        for row in select(&snapshot, &query, now()).rows {
            let seen = row.inventory.seen(row.user, now());
            let step = crate::rotation::step(row.user, &snapshot.policy, now(), seen);
            prop_assert_eq!(row.step, step.name());
            let item = Item::new(row, &snapshot, now());
            let grounds = Grounds {
                policy: &snapshot.policy,
                key_ids: snapshot.key_ids,
                now: now(),
                known_until: row.inventory.data_time,
            };
            let advice = advise(row.account.id, row.user, &grounds);
            prop_assert_eq!(&item.advice, &advice);
            if let Some(advice) = advice {
                prop_assert_eq!(advice.step, row.step, "page and plan agree");
            } else {
                prop_assert!(row.step == "none" || !row.user.is_read());
                prop_assert!(item.commands.is_empty());
            }
        }
    }

    #[test]
    fn a_link_asks_for_what_it_was_made_from(query in any_query(), page in 0_usize..50) {
        let query = Query { start: Start::Offset(page * query.limit), ..query };
        let text = link(&query, Surface::Page);
        let read = parse(text.strip_prefix('?'), Surface::Page);
        prop_assert_eq!(read, Ok(query));
    }

    #[test]
    fn no_query_makes_it_panic_and_each_mistake_is_told_on_one_line(text in "\\PC{0,40}|[a-z=&%+0-9]{0,40}") {
        for surface in [Surface::Page, Surface::Api] {
            if let Err(bad) = parse(Some(&text), surface) {
                let said = bad.to_string();
                prop_assert!(!said.contains(crate::visible::is_unseen), "{:?}", said);
                prop_assert!(said.chars().count() < 400, "{:?}", said);
            }
        }
    }
}

#[test]
fn a_mistake_tells_the_parameter_and_what_is_allowed() {
    for (query, said) in [
        (
            "verdict=alert",
            "The parameter verdict can't be \"alert\". Allowed: alarm, error, ok, skip.",
        ),
        (
            "sort=name",
            "The parameter sort can't be \"name\". Allowed: urgency, account, user, key, status, age, left, last_used, step.",
        ),
        (
            "order=up",
            "The parameter order can't be \"up\". Allowed: asc, desc.",
        ),
        (
            "limit=0",
            "The parameter limit can't be \"0\". Allowed: a whole number from 1 to 500.",
        ),
        (
            "limit=%2B5",
            "The parameter limit can't be \"+5\". Allowed: a whole number from 1 to 500.",
        ),
        (
            "page=-1",
            "The parameter page can't be \"-1\". Allowed: a whole number from 1 to 1000000.",
        ),
        (
            "page=99999999999999999999",
            "The parameter page can't be \"99999999999999999999\". Allowed: a whole number from 1 to 1000000.",
        ),
        (
            "account=1",
            "The parameter account can't be \"1\". Allowed: the 12 digits of an AWS account id.",
        ),
        (
            "exempt=true",
            "The parameter exempt can't be \"true\". Allowed: yes, no.",
        ),
        (
            "user=a&user=",
            "The parameter user is given more than once. Allowed: one value.",
        ),
        (
            "user=%ff",
            "The parameter user is not UTF-8 in percent-encoding. Allowed: percent-encoded UTF-8, e.g. %C3%A4 for ä.",
        ),
        (
            "user=100%",
            "The parameter user is not UTF-8 in percent-encoding. Allowed: percent-encoded UTF-8, e.g. %C3%A4 for ä.",
        ),
        (
            "a%1Bb=1",
            "The parameter a\\u{1b}b is not known here. Allowed: account, user, status, verdict, step, exempt, sort, order, limit, page.",
        ),
        (
            "cursor=x",
            "The parameter cursor is not known here. Allowed: account, user, status, verdict, step, exempt, sort, order, limit, page.",
        ),
    ] {
        assert_eq!(
            parse(Some(query), Surface::Page).unwrap_err().to_string(),
            said
        );
    }
    let bad = parse(Some("cursor=AAAA"), Surface::Api).unwrap_err();
    assert!(bad.allowed.contains("next_cursor"), "{bad}");
}

#[test]
fn what_a_form_leaves_empty_counts_as_not_given() {
    let empty = parse(
        Some("user=&account=&status=&verdict=&step=&exempt=&sort=&order=&page="),
        Surface::Page,
    );
    assert_eq!(empty, parse(None, Surface::Page));
    let spaces = parse(Some("user=a+b%20c"), Surface::Page).unwrap();
    assert_eq!(spaces.filter.user.as_deref(), Some("a b c"));
}

#[test]
fn a_cursor_holds_no_key_id_and_belongs_to_its_order() {
    let key = AccessKey {
        name: KeyName::Id("AKIASECRETIVE0000001".into()),
        status: KeyStatus::Active,
        created: now() - TimeDelta::days(100),
        last_use: LastUse::Never,
    };
    let users = vec![
        User::read("a", vec![key.clone()]),
        User::read("b", vec![key]),
    ];
    let snapshot = snapshot(vec![account(1, Some(users))], KeyIdDisplay::None);
    for (name, sort) in Sort::ALL {
        let query = parse(Some(&format!("limit=1&sort={name}")), Surface::Api).unwrap();
        let page = select(&snapshot, &query, now());
        let text = cursor::after(page.rows[0], &query, snapshot.key_ids);
        let cursor = Cursor::read(&text, sort, query.order).unwrap();
        assert!(!format!("{cursor:?}").contains("SECRETIVE"), "{cursor:?}");
        assert_eq!(Cursor::read(&text, sort, query.order.reversed()), None);
        let other = if sort == Sort::User {
            Sort::Key
        } else {
            Sort::User
        };
        assert_eq!(Cursor::read(&text, other, query.order), None);
    }
}
