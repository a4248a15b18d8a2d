//! An AWS in memory, with any number of accounts behind roles: answers take no time, or exactly as
//! long as told, so that a test can pause the clock.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use aws_smithy_runtime_api::{
    client::{
        http::{HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn},
        orchestrator::{HttpRequest, HttpResponse},
    },
    http::StatusCode,
};
use aws_smithy_types::body::SdkBody;
use iam_key_exporter::{
    clock::Clock,
    config::Config,
    source::{
        accounts::{Accounts, DISCOVERY_INTERVAL, Organization, Role},
        aws::{Origin, Settings, Strategy},
    },
};
use tokio::time::Instant;

use crate::support::aws_source::{self, Reader, Refreshing, settings};

/// The accounts.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cloud(Arc<Mutex<State>>);

/// What the accounts do, and what was asked of them.
#[derive(Debug, Default)]
pub(crate) struct State {
    /// The accounts that never answer, by id.
    pub(crate) hang: BTreeSet<String>,
    /// The accounts that refuse, by id.
    pub(crate) denied: BTreeSet<String>,
    /// Whether every account refuses to tell the tags of users.
    pub(crate) tags_denied: bool,
    /// How long an account takes to list its users.
    pub(crate) latency: BTreeMap<String, Duration>,
    /// Whether the calls with the exporter's own credentials never end, save for assuming roles.
    pub(crate) hub_hangs: bool,
    /// The members of the organisation; `None` if listing them is denied.
    pub(crate) members: Option<Vec<String>>,
    /// When the users of an account were listed.
    pub(crate) reads: BTreeMap<String, Vec<Instant>>,
}

impl Cloud {
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("nothing panics with the lock")
    }

    /// When each account was read.
    pub(crate) fn reads(&self) -> BTreeMap<String, Vec<Instant>> {
        self.state().reads.clone()
    }

    pub(crate) fn total(&self) -> usize {
        self.state().reads.values().map(Vec::len).sum()
    }

    /// A refresher over these accounts.
    pub(crate) fn refreshing(&self, accounts: Accounts) -> Refreshing {
        self.configured(Config {
            accounts,
            ..Config::default()
        })
    }

    /// A refresher of this configuration.
    pub(crate) fn configured(&self, config: Config) -> Refreshing {
        let connector = SharedHttpConnector::new(self.clone());
        let sdk = aws_source::config("http://localhost")
            .into_builder()
            .http_client(http_client_fn(move |_, _| connector.clone()))
            .build();
        let settings = Settings {
            origin: Origin::Config(Box::new(sdk)),
            ..settings("")
        };
        let policy = (*config.policy).clone();
        let reader = Reader::with(settings, Strategy::List, policy);
        Refreshing::configured(reader, config, Clock::System, Duration::from_mins(1))
    }
}

/// An id of 12 digits.
pub(crate) fn id(number: usize) -> String {
    format!("{number:012}")
}

/// A role in each of these accounts.
pub(crate) fn listed(numbers: impl IntoIterator<Item = usize>) -> Accounts {
    let role = |number| Role {
        arn: format!("arn:aws:iam::{}:role/reader", id(number))
            .parse()
            .expect("the ARN of a role"),
        external_id: None,
        session_name: None,
        name: None,
        region: None,
    };
    Accounts::Listed(numbers.into_iter().map(role).collect())
}

/// The same role in every member of the organisation.
pub(crate) fn organization() -> Organization {
    Organization {
        role_name: "reader".parse().expect("the name of a role"),
        external_id: None,
        session_name: None,
        region: None,
        include: Vec::new(),
        exclude: Vec::new(),
        discovery_interval: DISCOVERY_INTERVAL,
    }
}

impl HttpConnector for Cloud {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let form = request.body().bytes().unwrap_or_default();
        let form = String::from_utf8_lossy(form).into_owned();
        let between = |text: &str, start: &str, length: usize| {
            let (_, rest) = text.split_once(start)?;
            rest.get(..length).map(str::to_owned)
        };
        let role_account = between(&form, "RoleArn=arn%3Aaws%3Aiam%3A%3A", 12);
        if let Some(account) = role_account {
            return answer(200, assumed(&account));
        }
        let signed = request.headers().get("authorization").unwrap_or_default();
        let Some(account) = between(signed, "Credential=ASIA", 12) else {
            if self.state().hub_hangs {
                return HttpConnectorFuture::new(std::future::pending());
            }
            if form.starts_with("Action=GetCallerIdentity&") {
                return answer(200, CALLER.to_owned());
            }
            let target = request.headers().get("x-amz-target").unwrap_or_default();
            assert_eq!(target, "AWSOrganizationsV20161128.ListAccounts", "{form}");
            return match &self.state().members {
                Some(members) => answer(200, accounts(members)),
                None => answer(400, ORGANIZATION_DENIED.to_owned()),
            };
        };
        let is_listing = form.starts_with("Action=ListUsers&");
        let mut state = self.state();
        if is_listing {
            let reads = state.reads.entry(account.clone()).or_default();
            reads.push(Instant::now());
        }
        if state.hang.contains(&account) {
            return HttpConnectorFuture::new(std::future::pending());
        }
        let is_denied = state.tags_denied && form.starts_with("Action=ListUserTags&");
        if is_denied || state.denied.contains(&account) {
            return answer(403, DENIED.to_owned());
        }
        let latency = state.latency.get(&account).copied().filter(|_| is_listing);
        let found = found(&form);
        HttpConnectorFuture::new(async move {
            tokio::time::sleep(latency.unwrap_or_default()).await;
            Ok(response(200, found))
        })
    }
}

const DENIED: &str = "<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code>\
    <Message>no</Message></Error></ErrorResponse>";

const ORGANIZATION_DENIED: &str = r#"{"__type":"AccessDeniedException","Message":"no"}"#;

/// The exporter's own account, which is no member that tests go by.
const CALLER: &str = "<GetCallerIdentityResponse><GetCallerIdentityResult>\
    <Arn>arn:aws:iam::999999999999:user/exporter</Arn><UserId>AIDA</UserId>\
    <Account>999999999999</Account></GetCallerIdentityResult></GetCallerIdentityResponse>";

/// The members of the organisation, all of them active.
fn accounts(members: &[String]) -> String {
    let member = |id: &String| format!(r#"{{"Id":"{id}","Status":"ACTIVE"}}"#);
    let members: Vec<_> = members.iter().map(member).collect();
    format!(r#"{{"Accounts":[{}]}}"#, members.join(","))
}

fn answer(status: u16, body: String) -> HttpConnectorFuture {
    HttpConnectorFuture::ready(Ok(response(status, body)))
}

fn response(status: u16, body: String) -> HttpResponse {
    let status = StatusCode::try_from(status).expect("a constant");
    HttpResponse::new(status, SdkBody::from(body))
}

/// A session whose access key id tells the account.
fn assumed(account: &str) -> String {
    format!(
        "<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>ASIA{account}</AccessKeyId>\
         <SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken>\
         <Expiration>2099-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>"
    )
}

/// What every account holds: a user with a key of 2020 and the tag `kind`.
fn found(form: &str) -> String {
    let name = form
        .strip_prefix("Action=")
        .and_then(|form| form.split('&').next())
        .expect("a call says which it is");
    let result = match name {
        "ListUsers" => {
            "<IsTruncated>false</IsTruncated><Users><member><Path>/</Path><UserName>app</UserName>\
             <UserId>AIDA</UserId><Arn>arn:aws:iam::1:user/app</Arn>\
             <CreateDate>2020-01-01T00:00:00Z</CreateDate></member></Users>"
        }
        "ListAccessKeys" => {
            "<IsTruncated>false</IsTruncated><AccessKeyMetadata><member><UserName>app</UserName>\
             <AccessKeyId>AKIAAPP0000000000000</AccessKeyId><Status>Active</Status>\
             <CreateDate>2020-01-01T00:00:00Z</CreateDate></member></AccessKeyMetadata>"
        }
        "GetAccessKeyLastUsed" => {
            "<UserName>app</UserName><AccessKeyLastUsed><Region>N/A</Region>\
             <ServiceName>N/A</ServiceName></AccessKeyLastUsed>"
        }
        "GetAccountSummary" => "<SummaryMap/>",
        "ListUserTags" => {
            "<IsTruncated>false</IsTruncated><Tags><member><Key>kind</Key>\
             <Value>machine</Value></member></Tags>"
        }
        "ListAccountAliases" => "<IsTruncated>false</IsTruncated><AccountAliases/>",
        other => panic!("{other} is not expected"),
    };
    format!("<{name}Response><{name}Result>{result}</{name}Result></{name}Response>")
}
