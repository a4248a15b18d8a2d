//! Many accounts of AWS: roles, organisations, shards, and that none stands in another's way.

mod support {
    pub mod aws_source;
    pub mod fake_aws;
}

use std::{num::NonZeroU16, sync::Arc, time::Duration};

use futures_util::future::join_all;
use iam_key_exporter::{
    counts::{Operation as Counted, RequestCounts},
    inventory::Inventory,
    policy::Policy,
    reason::Reason,
    shard::Shard,
    source::{
        Access, Discovery, Member, Once, Outcome, Reader, Source, SourceError,
        accounts::{AccountFilter, Accounts, Organization, Role},
        aws::{Fleet, Limits, Pace, Settings, Strategy},
    },
};
use support::{
    aws_source::{Logs, SECRET, days, in_a_minute, names, settings},
    fake_aws::{
        Action, ErrorCode, FakeAws, Fault, MemberState, Operation, Organization as Members,
        Service, Site, StateFields,
    },
};
use tokio::time::Instant;

const A: &str = "222222222222";
const B: &str = "333333333333";
const C: &str = "444444444444";

/// An account with one user, called like the account, and a role `reader`.
fn add(aws: &FakeAws, id: &str) -> Arc<Site> {
    let site = aws.add_account(id);
    let mut account = site.account();
    account.add_role("reader");
    let created = account.now - days(100);
    let user = format!("user-of-{id}");
    account.add_user(&user, created);
    account.add_key(&user, created);
    drop(account);
    site
}

fn role(id: &str) -> Role {
    Role {
        arn: format!("arn:aws:iam::{id}:role/reader")
            .parse()
            .expect("it is the ARN of a role"),
        external_id: None,
        session_name: None,
        name: None,
        region: None,
    }
}

fn organization() -> Organization {
    Organization {
        role_name: "reader".parse().expect("it is the name of a role"),
        external_id: None,
        session_name: None,
        region: None,
        include: Vec::new(),
        exclude: Vec::new(),
        discovery_interval: Duration::from_hours(1),
    }
}

/// A source of some accounts, and what it counted.
struct Subject {
    source: Source,
    counts: Arc<RequestCounts>,
}

impl Subject {
    fn new(aws: &FakeAws, accounts: &Accounts) -> Self {
        Self::with(settings(&aws.endpoint()), accounts, Shard::WHOLE)
    }

    fn with(settings: Settings, accounts: &Accounts, shard: Shard) -> Self {
        let counts = Arc::new(RequestCounts::default());
        let policy = Arc::new(Policy::default());
        let mut fleet = Fleet::with_settings(
            settings,
            Strategy::List,
            Arc::clone(&policy),
            Duration::from_mins(5),
            Arc::clone(&counts),
        );
        fleet.set_shard(shard);
        let mut source = Source::Aws(Box::new(fleet));
        source.reconfigure(accounts, &policy, &Arc::default());
        Self { source, counts }
    }

    async fn discover(&mut self) -> Discovery {
        self.source.discover(now(), in_a_minute()).await
    }

    async fn members(&mut self) -> Vec<Member> {
        let discovery = self.discover().await;
        assert_eq!(discovery.trouble, None);
        discovery.members
    }

    /// The ids of the members that a new look finds.
    async fn ids(&mut self) -> Vec<String> {
        ids(&self.members().await)
    }

    /// A reader of the only member.
    async fn reader(&mut self) -> Reader {
        match &*self.members().await {
            [member] => self.source.reader(member),
            members => panic!("{} members", members.len()),
        }
    }
}

fn ids(members: &[Member]) -> Vec<String> {
    members
        .iter()
        .map(|member| member.account.expect("its id is known").to_string())
        .collect()
}

fn now() -> chrono::DateTime<chrono::Utc> {
    support::aws_source::at("2024-06-30T12:00:00Z")
}

async fn outcome(reader: &mut Reader) -> Outcome {
    let mut outcomes = reader.collect(now(), in_a_minute()).await;
    assert_eq!(outcomes.len(), 1);
    outcomes.remove(0)
}

async fn read(reader: &mut Reader) -> Inventory {
    let read = outcome(reader).await.result;
    read.expect("the account can be read")
}

async fn fail(reader: &mut Reader) -> SourceError {
    let read = outcome(reader).await.result;
    read.expect_err("the account can't be read")
}

#[tokio::test]
async fn an_account_is_read_through_its_role_without_asking_who_one_is() {
    let aws = FakeAws::start().await;
    let site = add(&aws, A);
    site.account().alias = Some("team-a".into());
    let named = Role {
        name: Some("Team A".into()),
        ..role(A)
    };
    let mut source = Subject::new(&aws, &Accounts::Listed(vec![named]));
    let mut reader = source.reader().await;
    assert_eq!(reader.account().unwrap().as_str(), A);
    let inventory = read(&mut reader).await;
    assert!(inventory.is_complete());
    assert_eq!(names(&inventory), [format!("user-of-{A}")]);
    assert_eq!(inventory.account.id.as_str(), A);
    assert_eq!(&*inventory.account.partition, "aws");
    assert_eq!(inventory.account.alias.as_deref(), Some("team-a"));
    assert_eq!(source.counts.attempts(Counted::GetCallerIdentity), 0);
    assert_eq!(source.counts.attempts(Counted::AssumeRole), 1);
    read(&mut reader).await;
    assert_eq!(source.counts.attempts(Counted::AssumeRole), 1);
}

#[tokio::test]
async fn a_role_is_given_its_external_id_and_a_denial_says_what_to_check_without_it() {
    let aws = FakeAws::start().await;
    let site = add(&aws, A);
    site.account().roles.get_mut("reader").unwrap().external_id = Some("right-id-42".into());
    let with_id = |id: &str| Role {
        external_id: Some(id.parse().unwrap()),
        ..role(A)
    };
    let mut source = Subject::new(&aws, &Accounts::Listed(vec![with_id("right-id-42")]));
    let mut reader = source.reader().await;
    assert!(read(&mut reader).await.is_complete());

    let mut source = Subject::new(&aws, &Accounts::Listed(vec![with_id("wrong-id-43")]));
    let mut reader = source.reader().await;
    let logs = Logs::capture();
    let error = fail(&mut reader).await;
    assert_eq!(error.reason, Reason::AccessDenied);
    for part in [
        "AssumeRole",
        "arn:aws:iam::222222222222:role/reader",
        "trust policy",
        "external id",
        "sts:AssumeRole",
    ] {
        assert!(error.message.contains(part), "{error}");
    }
    let warned = logs.of("WARN");
    for text in warned.iter().chain([&error.message]) {
        assert!(!text.contains("id-43") && !text.contains(SECRET), "{text}");
    }
    // Nothing else is tried with credentials that aren't there.
    assert_eq!(source.counts.attempts(Counted::AssumeRole), 1);
    assert_eq!(
        source
            .counts
            .failures(Counted::AssumeRole, Reason::AccessDenied),
        1
    );
    assert_eq!(site.counts().of(Operation::ListUsers), 1);
}

#[tokio::test]
async fn a_parameter_that_aws_quotes_is_not_repeated() {
    let aws = FakeAws::start().await;
    add(&aws, A);
    let message = "Value 'quoted-id-44' at 'externalId' failed to satisfy constraint";
    aws.inject(Fault::on(
        Operation::AssumeRole,
        Action::Answer {
            status: 400,
            content_type: "text/xml",
            body: format!(
                "<ErrorResponse><Error><Type>Sender</Type><Code>ValidationError</Code>\
                 <Message>{message}</Message></Error></ErrorResponse>"
            )
            .into_bytes(),
        },
    ));
    let with_id = Role {
        external_id: Some("quoted-id-44".parse().unwrap()),
        ..role(A)
    };
    let mut source = Subject::new(&aws, &Accounts::Listed(vec![with_id]));
    let error = fail(&mut source.reader().await).await;
    assert!(error.message.contains("ValidationError"), "{error}");
    assert!(!error.message.contains("quoted-id-44"), "{error}");
}

#[tokio::test]
async fn sessions_are_renewed_before_they_end_and_after_aws_ended_them() {
    let aws = FakeAws::start().await;
    let site = add(&aws, A);
    let mut source = Subject::new(&aws, &Accounts::Listed(vec![role(A)]));
    let mut reader = source.reader().await;
    read(&mut reader).await;
    // One hour is left of it for all that the client knows.
    site.expire_sessions();
    let error = fail(&mut reader).await;
    assert_eq!(error.reason, Reason::ExpiredToken);
    assert!(read(&mut reader).await.is_complete());
    assert_eq!(source.counts.attempts(Counted::AssumeRole), 2);

    site.forget_sessions();
    assert_eq!(fail(&mut reader).await.reason, Reason::Credentials);
    assert!(read(&mut reader).await.is_complete());
    assert_eq!(source.counts.attempts(Counted::AssumeRole), 3);

    // A session that ends within the next seconds is not begun a call with.
    site.expire_sessions();
    fail(&mut reader).await;
    aws.set_session_lifetime(Duration::from_secs(2));
    assert!(read(&mut reader).await.is_complete());
    let assumed = source.counts.attempts(Counted::AssumeRole);
    assert!(read(&mut reader).await.is_complete());
    assert!(source.counts.attempts(Counted::AssumeRole) > assumed);
    // Those that AWS ended, and no other.
    assert_eq!(
        source
            .counts
            .failures(Counted::ListUsers, Reason::ExpiredToken),
        2
    );
}

#[tokio::test]
async fn the_active_members_of_an_organisation_are_found_over_all_pages_and_empty_ones() {
    let aws = FakeAws::start().await;
    let all: Vec<String> = (0..45).map(|n| format!("5{n:011}")).collect();
    {
        let mut organization = aws.organization();
        organization.empty_pages = true;
        for (n, id) in all.iter().enumerate() {
            organization.add(id, &format!("account {n}"));
        }
    }
    let mut expected = vec![aws.account().id.clone()];
    expected.extend(all);
    let mut source = Subject::new(&aws, &Accounts::Organization(organization()));
    let members = source.members().await;
    let mut found = ids(&members);
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
    let hub = aws.account().id.clone();
    for member in &members {
        let id = member.account.unwrap();
        match &member.access {
            // The exporter's own account needs no hop.
            Access::Own => assert_eq!(id.as_str(), hub),
            Access::Role(role) => {
                assert_eq!(role.arn.as_str(), format!("arn:aws:iam::{id}:role/reader"));
                assert!(member.name.as_ref().unwrap().starts_with("account "));
            }
            Access::Whole => panic!("an account is no report"),
        }
    }
    // Neither units nor tags were asked for.
    for operation in [
        Counted::ListAccountsForParent,
        Counted::ListOrganizationalUnitsForParent,
        Counted::ListTagsForResource,
    ] {
        assert_eq!(source.counts.attempts(operation), 0);
    }
    // A second look isn't due for an hour.
    let listings = source.counts.attempts(Counted::ListAccounts);
    assert_eq!(source.ids().await.len(), 46);
    assert_eq!(source.counts.attempts(Counted::ListAccounts), listings);
}

#[tokio::test]
async fn only_an_active_state_counts_and_status_where_there_is_no_state() {
    for fields in [StateFields::Both, StateFields::Status, StateFields::State] {
        let aws = FakeAws::start().await;
        {
            let mut organization = aws.organization();
            organization.state_fields = fields;
            for (n, state) in [
                MemberState::PendingActivation,
                MemberState::Active,
                MemberState::Suspended,
                MemberState::PendingClosure,
                MemberState::Closed,
            ]
            .into_iter()
            .enumerate()
            {
                organization.add(&format!("5{n:011}"), "x").state = state;
            }
        }
        let hub = aws.account().id.clone();
        let mut found = Subject::new(&aws, &Accounts::Organization(organization()))
            .ids()
            .await;
        found.retain(|id| *id != hub);
        assert_eq!(found, ["500000000001"], "{fields:?}");
    }
}

/// A look that is due at once.
fn always() -> Organization {
    Organization {
        discovery_interval: Duration::ZERO,
        ..organization()
    }
}

#[tokio::test]
async fn accounts_come_and_go_with_the_next_look_and_stay_if_it_fails() {
    let aws = FakeAws::start().await;
    let hub = aws.account().id.clone();
    aws.organization().add(A, "a");
    let mut source = Subject::new(&aws, &Accounts::Organization(always()));
    let first = source.members().await;
    assert_eq!(ids(&first), [&hub, A]);
    aws.organization().add(B, "b");
    let second = source.members().await;
    assert_eq!(ids(&second), [&hub, A, B]);
    // A member that is what it was before needs no new reader.
    assert_eq!(first[..], second[..2]);
    aws.organization().member_mut(A).state = MemberState::Suspended;
    assert_eq!(source.ids().await, [&hub, B]);

    aws.deny(Operation::ListAccounts);
    let failed = source.discover().await;
    assert_eq!(ids(&failed.members), [&hub, B]);
    let trouble = failed.trouble.expect("the look failed");
    assert_eq!(trouble.reason, Reason::AccessDenied);
    assert!(
        trouble.message.contains("organizations:ListAccounts"),
        "{trouble}"
    );
    assert!(trouble.message.contains("iam-policy-hub.json"), "{trouble}");
    aws.clear_faults();
    assert_eq!(source.discover().await.trouble, None);
}

#[tokio::test]
async fn members_are_chosen_by_id_unit_and_tag_and_exclusion_wins() {
    let aws = FakeAws::start().await;
    let hub = aws.account().id.clone();
    let (outer, inner) = {
        let mut organization = aws.organization();
        let outer = organization.add_unit("outer", Members::ROOT);
        let inner = organization.add_unit("inner", &outer);
        organization.add(A, "a").parent = outer.clone();
        organization.add(B, "b").parent = inner.clone();
        organization
            .add(C, "c")
            .tags
            .insert("env".into(), "prod-eu".into());
        organization
            .member_mut(B)
            .tags
            .insert("env".into(), "dev".into());
        (outer, inner)
    };
    let id = |id: &str| AccountFilter::Id(id.parse().unwrap());
    let unit = |id: &str| AccountFilter::Ou(id.parse().unwrap());
    let env = |value: Option<&str>| AccountFilter::Tag {
        key: "env".into(),
        value: value.map(|value| value.parse().unwrap()),
    };
    for (include, exclude, expected) in [
        (vec![], vec![], vec![&*hub, A, B, C]),
        (vec![id(A), id(C)], vec![], vec![A, C]),
        (vec![], vec![id(&hub)], vec![A, B, C]),
        (vec![unit(&outer)], vec![], vec![A, B]),
        (vec![unit(&inner)], vec![], vec![B]),
        (
            vec![unit(Members::ROOT)],
            vec![unit(&inner)],
            vec![&*hub, A, C],
        ),
        (vec![env(Some("prod-*"))], vec![], vec![C]),
        (vec![env(None)], vec![], vec![B, C]),
        (vec![], vec![env(Some("dev"))], vec![&*hub, A, C]),
        (
            vec![unit(&outer), env(Some("prod-*"))],
            vec![id(A)],
            vec![B, C],
        ),
    ] {
        let organization = Organization {
            include,
            exclude,
            ..organization()
        };
        let told = format!("{organization:?}");
        let mut source = Subject::new(&aws, &Accounts::Organization(organization));
        assert_eq!(source.ids().await, expected, "{told}");
    }
    // Tags of those that the unit decides already aren't asked for.
    let organization = Organization {
        include: vec![unit(&outer), env(Some("prod-*"))],
        ..organization()
    };
    let mut source = Subject::new(&aws, &Accounts::Organization(organization));
    source.members().await;
    assert_eq!(source.counts.attempts(Counted::ListTagsForResource), 2);
}

#[tokio::test]
async fn a_unit_that_is_not_there_is_named_and_no_account_is_read_by_mistake() {
    let aws = FakeAws::start().await;
    aws.organization().add(A, "a");
    let organization = Organization {
        exclude: vec![AccountFilter::Ou("ou-none-00000000".parse().unwrap())],
        ..organization()
    };
    let mut source = Subject::new(&aws, &Accounts::Organization(organization));
    let found = source.discover().await;
    assert_eq!(found.members, []);
    let trouble = found.trouble.expect("there is no such unit");
    assert!(trouble.message.contains("ou-none-00000000"), "{trouble}");
}

#[tokio::test]
async fn every_account_is_read_on_exactly_one_shard() {
    let aws = FakeAws::start().await;
    let all: Vec<String> = (0..30).map(|n| format!("6{n:011}")).collect();
    for id in &all {
        aws.organization().add(id, "x");
    }
    let count = NonZeroU16::new(3).unwrap();
    let mut found = Vec::new();
    for index in 0..3 {
        let mut source = Subject::with(
            settings(&aws.endpoint()),
            &Accounts::Organization(organization()),
            Shard::new(index, count).unwrap(),
        );
        let mine = source.ids().await;
        assert!(mine.len() > 3, "{mine:?}");
        found.extend(mine);
    }
    found.sort();
    let mut expected = all;
    expected.insert(0, aws.account().id.clone());
    expected.sort();
    assert_eq!(found, expected);
}

#[tokio::test]
async fn the_own_account_is_read_on_its_shard_and_missed_aloud_on_others() {
    let aws = FakeAws::start().await;
    let hub = aws.account().id.parse().unwrap();
    let count = NonZeroU16::new(2).unwrap();
    let shards = [0, 1].map(|index| Shard::new(index, count).unwrap());
    let (mine, other) = if shards[0].holds(hub) {
        (shards[0], shards[1])
    } else {
        (shards[1], shards[0])
    };
    let mut source = Subject::with(settings(&aws.endpoint()), &Accounts::Own, mine);
    assert_eq!(source.ids().await, [hub.as_str()]);

    let mut source = Subject::with(settings(&aws.endpoint()), &Accounts::Own, other);
    let logs = Logs::capture();
    assert_eq!(source.members().await, []);
    source.source.reconfigure(
        &Accounts::Organization(organization()),
        &Arc::default(),
        &Arc::default(),
    );
    source
        .source
        .reconfigure(&Accounts::Own, &Arc::default(), &Arc::default());
    assert_eq!(source.members().await, []);
    let said = logs.of("WARN");
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].contains("another shard") && said[0].contains(hub.as_str()));
}

#[tokio::test]
async fn what_is_read_once_of_a_shard_without_an_account_says_so() {
    let aws = FakeAws::start().await;
    let hub = aws.account().id.parse().unwrap();
    let count = NonZeroU16::new(2).unwrap();
    let shards = [0, 1].map(|index| Shard::new(index, count).unwrap());
    let empty = shards.into_iter().find(|shard| !shard.holds(hub)).unwrap();
    let all = (0..100).map(|n| format!("6{n:011}"));
    let mut others = all.filter(|id| !empty.holds(id.parse().unwrap()));
    aws.organization().add(&others.next().unwrap(), "x");
    let accounts = Accounts::Organization(organization());
    let source = Subject::with(settings(&aws.endpoint()), &accounts, empty).source;
    let logs = Logs::capture();
    let (_, outcomes) = Once::read(source, now(), in_a_minute()).await;
    assert!(outcomes.is_empty(), "{outcomes:?}");
    let said = logs.of("WARN");
    let [said] = &said[..] else {
        panic!("{said:?}");
    };
    assert!(
        said.contains("no account is in the shard") && said.contains(&empty.to_string()),
        "{said}"
    );
}

#[tokio::test]
async fn an_account_that_comes_twice_is_read_once() {
    let aws = FakeAws::start().await;
    let twice = Accounts::Listed(vec![role(A), role(B), role(A)]);
    assert_eq!(Subject::new(&aws, &twice).ids().await, [A, B]);
}

#[tokio::test]
async fn an_account_that_throttles_slows_down_no_other() {
    let aws = FakeAws::start().await;
    let slow = add(&aws, A);
    add(&aws, B);
    for n in 0..60 {
        for id in [A, B] {
            let site = aws.site(id);
            let mut account = site.account();
            let created = account.now;
            let name = format!("user-{n}");
            account.add_user(&name, created);
            account.add_key(&name, created);
        }
    }
    slow.set_rate_limit(Service::Iam, 20.0, 5);
    let patient = Settings {
        limits: Limits {
            max_attempts: 20,
            ..settings(&aws.endpoint()).limits
        },
        // Both could never be under way at once if the throttled one held what they share.
        max_total_concurrency: 2,
        ..settings(&aws.endpoint())
    };
    let roles = Accounts::Listed(vec![role(A), role(B)]);
    let mut source = Subject::with(patient, &roles, Shard::WHOLE);
    let members = source.members().await;
    let mut readers: Vec<Reader> = members
        .iter()
        .map(|member| source.source.reader(member))
        .collect();
    let start = Instant::now();
    let timed = readers.iter_mut().map(|reader| async {
        read(reader).await;
        start.elapsed()
    });
    let took = join_all(timed).await;
    // 122 calls at 20 a second, against as many without a limit.
    assert!(took[0] > Duration::from_secs(3), "{took:?}");
    assert!(took[1] * 2 < took[0], "{took:?}");
    assert!(
        source
            .counts
            .failures(Counted::ListAccessKeys, Reason::Throttled)
            > 0
    );
}

#[tokio::test]
async fn a_hanging_account_does_not_hold_up_the_others() {
    let aws = FakeAws::start().await;
    let ids: Vec<String> = (0..12).map(|n| format!("7{n:011}")).collect();
    for id in &ids {
        add(&aws, id);
    }
    for id in &ids[..2] {
        aws.site(id).hang();
    }
    let tight = Settings {
        max_total_concurrency: 2,
        ..settings(&aws.endpoint())
    };
    let roles = ids.iter().map(|id| role(id)).collect();
    let mut source = Subject::with(tight, &Accounts::Listed(roles), Shard::WHOLE);
    let members = source.members().await;
    let mut readers: Vec<Reader> = members
        .iter()
        .map(|member| source.source.reader(member))
        .collect();
    let (hanging, healthy) = readers.split_at_mut(2);
    let hang = join_all(hanging.iter_mut().map(fail));
    let start = Instant::now();
    let took = join_all(healthy.iter_mut().map(|reader| async {
        assert!(read(reader).await.is_complete());
        start.elapsed()
    }));
    // Both hang in both permits there are, for a second.
    let took = tokio::select! {
        errors = hang => panic!("the hanging ones were first: {errors:?}"),
        took = took => took,
    };
    let longest = took.into_iter().max();
    assert!(longest < Some(Duration::from_secs(4)), "{longest:?}");
}

#[tokio::test]
async fn calls_keep_to_the_rate_that_was_asked_for() {
    let aws = FakeAws::start().await;
    let site = add(&aws, A);
    for n in 0..20 {
        let mut account = site.account();
        let created = account.now;
        account.add_user(&format!("user-{n}"), created);
    }
    // What the default is made for: twenty a second, and no more at once than that.
    site.set_rate_limit(Service::Iam, 20.0, 20);
    let paced = Settings {
        pace: Pace {
            at_once: 16,
            per_second: Some(15),
        },
        ..settings(&aws.endpoint())
    };
    let mut source = Subject::with(paced, &Accounts::Listed(vec![role(A)]), Shard::WHOLE);
    let mut reader = source.reader().await;
    let start = Instant::now();
    assert!(read(&mut reader).await.is_complete());
    let calls = site.counts().of(Operation::ListAccessKeys) + 4;
    let least = (f64::from(u32::try_from(calls).unwrap()) - 8.0) / 15.0;
    assert!(start.elapsed() >= Duration::from_secs_f64(least));
    assert_eq!(
        source
            .counts
            .failures(Counted::ListAccessKeys, Reason::Throttled),
        0
    );
}

#[tokio::test]
async fn the_hubs_own_expired_token_is_told_and_its_credentials_are_read_anew() {
    let aws = FakeAws::start().await;
    add(&aws, A);
    let mut source = Subject::new(&aws, &Accounts::Listed(vec![role(A)]));
    let mut reader = source.reader().await;
    aws.inject(Fault::on(
        Operation::AssumeRole,
        Action::Error(ErrorCode::ExpiredToken),
    ));
    let error = fail(&mut reader).await;
    assert_eq!(error.reason, Reason::ExpiredToken);
    assert!(error.message.contains("AssumeRole"), "{error}");
    aws.clear_faults();
    assert!(read(&mut reader).await.is_complete());
}
