//! Many accounts: roles, sessions, an organization, and faults of one account alone.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_credential_types::Credentials;
use aws_sdk_organizations::operation::list_accounts::ListAccountsError;
use aws_sdk_organizations::types::{Account, AccountState, AccountStatus};

use super::*;
use crate::support::fake_aws::{MemberState, Organization, Site, StateFields};

const TEAM: &str = "111122223333";
const OTHER: &str = "444455556666";

fn with<B>(aws: &FakeAws, credentials: Option<Credentials>) -> B
where
    B: for<'a> From<&'a aws_types::SdkConfig>,
{
    let config = aws_types::SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .http_client(Builder::new().build_http())
        .endpoint_url(aws.endpoint())
        .region(Region::new("us-east-1"))
        .credentials_provider(
            aws_credential_types::provider::SharedCredentialsProvider::new(
                credentials.unwrap_or_else(super::credentials),
            ),
        )
        .retry_config(RetryConfig::disabled())
        .build();
    B::from(&config)
}

fn iam_as(aws: &FakeAws, credentials: Credentials) -> aws_sdk_iam::Client {
    let config = with::<aws_sdk_iam::config::Builder>(aws, Some(credentials));
    aws_sdk_iam::Client::from_conf(config.build())
}

fn organizations(aws: &FakeAws, credentials: Option<Credentials>) -> aws_sdk_organizations::Client {
    let config = with::<aws_sdk_organizations::config::Builder>(aws, credentials);
    aws_sdk_organizations::Client::from_conf(config.build())
}

/// Assumes a role, or gives the code and the message of the refusal.
async fn assume(
    aws: &FakeAws,
    role: &str,
    external_id: Option<&str>,
) -> Result<Credentials, (String, String)> {
    let answer = sts(aws)
        .assume_role()
        .role_arn(role)
        .role_session_name("exporter@host-1")
        .set_external_id(external_id.map(str::to_owned))
        .send()
        .await
        .map_err(|error| {
            let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
            (text(error.code()), text(error.message()))
        })?;
    let given = answer.credentials().expect("a session has credentials");
    Ok(Credentials::new(
        given.access_key_id(),
        given.secret_access_key(),
        Some(given.session_token().to_owned()),
        None,
        "test",
    ))
}

/// Credentials for a role that is made in the account.
async fn session(aws: &FakeAws, site: &Site) -> Credentials {
    let role = site.account().add_role("reader");
    assume(aws, &role, None)
        .await
        .expect("the role asks for nothing")
}

async fn names(client: &aws_sdk_iam::Client) -> Result<Vec<String>, String> {
    let answer = client
        .list_users()
        .send()
        .await
        .map_err(|error| error.code().unwrap_or_default().to_owned())?;
    let names = answer.users().iter();
    Ok(names.map(|user| user.user_name().to_owned()).collect())
}

#[tokio::test]
async fn a_session_is_of_the_account_of_its_role() {
    let aws = FakeAws::start().await;
    let (team, other) = (aws.add_account(TEAM), aws.add_account(OTHER));
    aws.account()
        .add_user("at-home", at("2020-01-01T00:00:00Z"));
    let ids: BTreeSet<_> = [(&team, "tim"), (&other, "olga")]
        .map(|(site, user)| {
            let mut account = site.account();
            account.add_user(user, at("2020-01-01T00:00:00Z"));
            account.add_key(user, at("2020-01-01T00:00:00Z"))
        })
        .into();
    assert_eq!(ids.len(), 2, "ids of keys are unique over all accounts");

    let credentials = session(&aws, &team).await;
    assert!(credentials.access_key_id().contains(TEAM));
    let client = iam_as(&aws, credentials.clone());
    assert_eq!(names(&client).await.unwrap(), ["tim"]);
    let client = iam_as(&aws, session(&aws, &other).await);
    assert_eq!(names(&client).await.unwrap(), ["olga"]);
    assert_eq!(names(&iam(&aws)).await.unwrap(), ["at-home"]);

    let sts = aws_sdk_sts::Client::from_conf(
        with::<aws_sdk_sts::config::Builder>(&aws, Some(credentials)).build(),
    );
    let caller = sts.get_caller_identity().send().await.unwrap();
    assert_eq!(caller.account(), Some(TEAM));
    assert_eq!(
        caller.arn(),
        Some("arn:aws:sts::111122223333:assumed-role/reader/exporter@host-1")
    );

    assert_eq!(team.counts().of(Operation::ListUsers), 1);
    assert_eq!(team.counts().of(Operation::GetCallerIdentity), 1);
    assert_eq!(other.counts().total(), 1);
    // The role is assumed with the credentials of the first account.
    assert_eq!(aws.home().counts().of(Operation::AssumeRole), 2);
    let calls = aws.calls();
    assert_eq!(calls.of(Operation::ListUsers), 3);
    assert_eq!(calls.of_account(OTHER).len(), 1);
}

#[tokio::test]
async fn roles_are_given_to_those_who_know_them_and_their_external_id() {
    let aws = FakeAws::start().await;
    let team = aws.add_account(TEAM);
    let plain = team.account().add_role("plain");
    let guarded = {
        let mut account = team.account();
        account.add_role("guarded");
        let role = account.roles.get_mut("guarded").unwrap();
        role.path = "/audit/".to_owned();
        role.external_id = Some("only-we-know".to_owned());
        "arn:aws:iam::111122223333:role/audit/guarded"
    };
    assume(&aws, &plain, None).await.unwrap();
    assume(&aws, &plain, Some("needless")).await.unwrap();
    assume(&aws, guarded, Some("only-we-know")).await.unwrap();
    for (role, external_id) in [
        (guarded, None),
        (guarded, Some("guessed")),
        (
            "arn:aws:iam::111122223333:role/guarded",
            Some("only-we-know"),
        ),
        ("arn:aws:iam::111122223333:role/nobody", None),
        ("arn:aws-cn:iam::111122223333:role/plain", None),
        ("arn:aws:iam::999999999999:role/plain", None),
    ] {
        let (code, message) = assume(&aws, role, external_id).await.unwrap_err();
        assert_eq!(code, "AccessDenied");
        assert!(message.contains("sts:AssumeRole") && message.ends_with(role));
    }
    let bad = sts(&aws).assume_role().role_arn(&plain);
    for bad in [
        bad.clone().role_session_name("not allowed"),
        bad.clone().role_session_name("x"),
        bad.clone().role_session_name("short").duration_seconds(899),
    ] {
        let error = bad.send().await.unwrap_err();
        assert_eq!(error.code(), Some("ValidationError"));
    }
}

#[tokio::test]
async fn sessions_run_out_and_forged_ones_are_refused() {
    let aws = FakeAws::start().await;
    let team = aws.add_account(TEAM);
    let credentials = session(&aws, &team).await;
    let refused = async |id: &str, token: Option<&str>| {
        let forged = Credentials::new(id, "secret", token.map(str::to_owned), None, "test");
        names(&iam_as(&aws, forged)).await.unwrap_err()
    };
    let (id, token) = (credentials.access_key_id(), credentials.session_token());
    assert_eq!(refused(id, None).await, "InvalidClientTokenId");
    assert_eq!(refused(id, Some("forged")).await, "InvalidClientTokenId");
    let stranger = "ASIA9999999999990001";
    assert_eq!(refused(stranger, token).await, "InvalidClientTokenId");

    let client = iam_as(&aws, credentials.clone());
    names(&client).await.unwrap();
    team.expire_sessions();
    assert_eq!(names(&client).await.unwrap_err(), "ExpiredToken");
    names(&iam_as(&aws, session(&aws, &team).await))
        .await
        .unwrap();
    team.forget_sessions();
    assert_eq!(names(&client).await.unwrap_err(), "InvalidClientTokenId");

    // A lifetime that is over at once, whatever was asked for.
    aws.set_session_lifetime(Duration::ZERO);
    let client = iam_as(&aws, session(&aws, &team).await);
    assert_eq!(names(&client).await.unwrap_err(), "ExpiredToken");
    aws.remove_account(TEAM);
    assert_eq!(names(&client).await.unwrap_err(), "InvalidClientTokenId");
}

#[tokio::test]
async fn the_sdks_own_provider_renews_a_session_before_it_runs_out() {
    let aws = FakeAws::start().await;
    let team = aws.add_account(TEAM);
    let role = team.account().add_role("reader");
    // Within what the SDK keeps clear of the end of credentials, so each call needs new ones.
    aws.set_session_lifetime(Duration::from_secs(5));
    let config = aws_config::defaults(BehaviorVersion::latest())
        .http_client(Builder::new().build_http())
        .endpoint_url(aws.endpoint())
        .region(Region::new("us-east-1"))
        .credentials_provider(super::credentials())
        .load()
        .await;
    let provider = aws_config::sts::AssumeRoleProvider::builder(role)
        .session_name("exporter")
        .configure(&config)
        .build()
        .await;
    let config = aws_sdk_iam::config::Builder::from(&config)
        .credentials_provider(provider)
        .build();
    let client = aws_sdk_iam::Client::from_conf(config);
    for _ in 0..3 {
        names(&client).await.unwrap();
    }
    assert_eq!(aws.home().counts().of(Operation::AssumeRole), 3);
    assert_eq!(team.counts().of(Operation::ListUsers), 3);
}

/// All accounts, and the sizes of the pages.
async fn list_accounts(client: &aws_sdk_organizations::Client) -> (Vec<Account>, Vec<usize>) {
    let (mut accounts, mut sizes, mut token) = (Vec::new(), Vec::new(), None);
    loop {
        let page = client
            .list_accounts()
            .set_next_token(token)
            .send()
            .await
            .expect("a listing without faults");
        sizes.push(page.accounts().len());
        accounts.extend_from_slice(page.accounts());
        token = page.next_token().map(str::to_owned);
        if token.is_none() {
            return (accounts, sizes);
        }
    }
}

#[tokio::test]
async fn an_organization_lists_each_of_its_accounts_once_whatever_the_pages_are_like() {
    let aws = FakeAws::start().await;
    let client = organizations(&aws, None);
    let ids: Vec<_> = (1..45).map(|n| format!("{n:012}")).collect();
    for id in &ids {
        aws.organization().add(id, &format!("account {id}"));
    }
    let all = || ids.iter().map(String::as_str).chain(["123456789012"]);

    let (accounts, sizes) = list_accounts(&client).await;
    assert!(
        accounts
            .iter()
            .map(|account| account.id().unwrap())
            .eq(all())
    );
    assert_eq!(sizes, [20, 20, 5]);
    assert_eq!(accounts[0].name(), Some("account 000000000001"));
    assert_eq!(
        accounts[0].arn(),
        Some("arn:aws:organizations::123456789012:account/o-fakefakefa/000000000001")
    );
    assert!(accounts[0].joined_timestamp().is_some());

    aws.organization().empty_pages = true;
    aws.organization().page_size = 16;
    let (accounts, sizes) = list_accounts(&client).await;
    assert!(
        accounts
            .iter()
            .map(|account| account.id().unwrap())
            .eq(all())
    );
    assert_eq!(sizes, [0, 16, 0, 16, 0, 13]);
    assert_eq!(aws.calls().of(Operation::ListAccounts), 9);

    let page = client.list_accounts().max_results(3).next_token("?");
    let error = page.send().await.unwrap_err().into_service_error();
    assert!(matches!(error, ListAccountsError::InvalidInputException(_)));
}

#[tokio::test]
async fn the_state_of_an_account_is_told_in_either_field_or_both() {
    let aws = FakeAws::start().await;
    let client = organizations(&aws, None);
    let states = [
        (
            MemberState::PendingActivation,
            AccountState::PendingActivation,
        ),
        (MemberState::Active, AccountState::Active),
        (MemberState::Suspended, AccountState::Suspended),
        (MemberState::PendingClosure, AccountState::PendingClosure),
        (MemberState::Closed, AccountState::Closed),
    ];
    let mut wanted = BTreeMap::new();
    for (index, (state, told)) in states.into_iter().enumerate() {
        let id = format!("{index:012}");
        aws.organization().add(&id, "any").state = state;
        wanted.insert(id, told);
    }
    wanted.insert("123456789012".to_owned(), AccountState::Active);
    for fields in [StateFields::Both, StateFields::State, StateFields::Status] {
        aws.organization().state_fields = fields;
        for account in list_accounts(&client).await.0 {
            let state = &wanted[account.id().unwrap()];
            let (has_state, has_status) = (account.state(), account.status());
            assert_eq!(has_state.is_some(), fields != StateFields::Status);
            assert_eq!(has_status.is_some(), fields != StateFields::State);
            assert!(has_state.is_none_or(|told| told == state));
            let active = *state == AccountState::Active;
            assert!(has_status.is_none_or(|told| active == (*told == AccountStatus::Active)));
        }
    }
}

#[tokio::test]
async fn units_and_tags_are_told_of_what_is_in_them() {
    let aws = FakeAws::start().await;
    let client = organizations(&aws, None);
    let (prod, nested) = {
        let mut organization = aws.organization();
        let prod = organization.add_unit("prod", Organization::ROOT);
        let nested = organization.add_unit("payments", &prod);
        organization.add(TEAM, "team").parent = nested.clone();
        let other = organization.add(OTHER, "other");
        other.parent = prod.clone();
        other.tags.insert("stage".to_owned(), "live".to_owned());
        (prod, nested)
    };
    let roots = client.list_roots().send().await.unwrap();
    assert_eq!(roots.roots()[0].id(), Some(Organization::ROOT));
    let units = async |parent: &str| {
        let call = client.list_organizational_units_for_parent();
        let answer = call.parent_id(parent).send().await.unwrap();
        let units = answer.organizational_units().iter();
        units
            .map(|unit| unit.id().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(units(Organization::ROOT).await, [prod.as_str()]);
    assert_eq!(units(&prod).await, [nested.as_str()]);
    assert!(units(&nested).await.is_empty());
    let accounts = async |parent: &str| {
        let call = client.list_accounts_for_parent();
        let answer = call.parent_id(parent).send().await.unwrap();
        let accounts = answer.accounts().iter();
        accounts
            .map(|account| account.id().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(accounts(Organization::ROOT).await, ["123456789012"]);
    assert_eq!(accounts(&prod).await, [OTHER]);
    assert_eq!(accounts(&nested).await, [TEAM]);
    let tags = async |id: &str| {
        let answer = client.list_tags_for_resource().resource_id(id).send().await;
        let answer = answer.map_err(|error| error.code().unwrap().to_owned())?;
        let tags = answer.tags().iter();
        Ok(tags
            .map(|tag| format!("{}={}", tag.key(), tag.value()))
            .collect::<Vec<_>>())
    };
    assert_eq!(tags(OTHER).await, Ok(vec!["stage=live".to_owned()]));
    assert_eq!(tags(TEAM).await, Ok(Vec::new()));
    assert_eq!(
        tags("000000000009").await,
        Err("TargetNotFoundException".to_owned())
    );
    let call = client.list_accounts_for_parent().parent_id("ou-no-where");
    let error = call.send().await.unwrap_err();
    assert_eq!(error.code(), Some("ParentNotFoundException"));
}

#[tokio::test]
async fn only_the_management_and_its_delegates_may_list_an_organization() {
    let aws = FakeAws::start().await;
    let client = organizations(&aws, None);
    let error = client.list_accounts().send().await.unwrap_err();
    assert_eq!(error.code(), Some("AWSOrganizationsNotInUseException"));
    let team = aws.add_account(TEAM);
    let member = organizations(&aws, Some(session(&aws, &team).await));
    aws.organization();
    client.list_accounts().send().await.unwrap();
    let error = member.describe_organization().send().await.unwrap_err();
    assert_eq!(error.code(), Some("AWSOrganizationsNotInUseException"));

    aws.organization().add(TEAM, "team");
    let described = member.describe_organization().send().await.unwrap();
    let management = described.organization().unwrap().master_account_id();
    assert_eq!(management, Some("123456789012"));
    let error = member.list_accounts().send().await.unwrap_err();
    assert!(matches!(
        error.into_service_error(),
        ListAccountsError::AccessDeniedException(_)
    ));
    aws.organization().delegates.push(TEAM.to_owned());
    member.list_accounts().send().await.unwrap();

    for (code, name) in [
        (ErrorCode::Throttling, "TooManyRequestsException"),
        (ErrorCode::ServiceFailure, "ServiceException"),
        (ErrorCode::ExpiredToken, "ExpiredTokenException"),
        (
            ErrorCode::InvalidClientTokenId,
            "UnrecognizedClientException",
        ),
    ] {
        aws.inject(Fault::on(Operation::ListAccounts, Action::Error(code)));
        let error = client.list_accounts().send().await.unwrap_err();
        assert_eq!(error.code(), Some(name));
        assert!(error.message().is_some_and(|message| !message.is_empty()));
        aws.clear_faults();
    }
}

#[tokio::test]
async fn faults_and_limits_of_one_account_leave_the_others_alone() {
    let aws = FakeAws::start().await;
    // One token an hour: what is refilled during the test doesn't count.
    aws.set_rate_limit(1.0 / 3600.0, 2);
    let (team, other) = (aws.add_account(TEAM), aws.add_account(OTHER));
    let tim = iam_as(&aws, session(&aws, &team).await);
    let olga = iam_as(&aws, session(&aws, &other).await);
    for _ in 0..2 {
        names(&tim).await.unwrap();
    }
    assert_eq!(names(&tim).await.unwrap_err(), "Throttling");
    assert_eq!(team.counts().throttled(), 1);
    names(&olga).await.unwrap();
    assert_eq!(other.counts().throttled(), 0);
    // The bucket is IAM's.
    session(&aws, &team).await;
    aws.clear_rate_limit();

    team.deny(Operation::ListUsers);
    assert_eq!(names(&tim).await.unwrap_err(), "AccessDenied");
    names(&olga).await.unwrap();
    team.clear_faults();
    names(&tim).await.unwrap();
    aws.inject(
        Fault::on(
            Operation::ListUsers,
            Action::Error(ErrorCode::ServiceFailure),
        )
        .account(OTHER),
    );
    assert_eq!(names(&olga).await.unwrap_err(), "ServiceFailure");
    names(&tim).await.unwrap();
    let role = "arn:aws:iam::111122223333:role/reader";
    let denied = Action::Error(ErrorCode::AccessDenied);
    aws.inject(Fault::on(Operation::AssumeRole, denied).role(role));
    assert_eq!(
        assume(&aws, role, None).await.unwrap_err().0,
        "AccessDenied"
    );
    session(&aws, &other).await;
    aws.clear_faults();

    team.hang();
    let call = tokio::time::timeout(Duration::from_millis(200), names(&tim));
    assert!(call.await.is_err(), "a hanging account answers nothing");
    names(&olga).await.unwrap();
    team.reset_counts();
    assert_eq!(team.counts().total(), 0);
    other.set_latency(Duration::from_millis(300));
    let start = Instant::now();
    names(&olga).await.unwrap();
    assert!(start.elapsed() >= Duration::from_millis(300));
    aws.keep_no_log();
    let logged = aws.calls().total();
    names(&olga).await.unwrap();
    assert_eq!(aws.calls().total(), logged);
}
