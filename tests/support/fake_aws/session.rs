//! Who calls: the credential scope of a request, sessions of assumed roles, and how they are given.

use std::time::{Duration, SystemTime};

use chrono::{DateTime, Utc};
use hyper::HeaderMap;
use hyper::header::AUTHORIZATION;

use super::account::{Account, zulu};
use super::site::Site;
use super::wire::{ErrorCode, Failure, Form, element};

/// Temporary credentials that were given for a role.
#[derive(Clone, Debug)]
pub(super) struct Session {
    access_key_id: String,
    token: String,
    /// By the machine's clock, which clients go by too.
    expires: SystemTime,
    arn: String,
}

impl Session {
    pub(super) fn expire(&mut self) {
        self.expires = SystemTime::UNIX_EPOCH;
    }
}

/// What a request says of its caller.
pub(super) struct Caller {
    access_key_id: String,
    token: Option<String>,
}

/// Access key ids of sessions tell their account, as AWS's do: this, twelve digits, and a serial number.
const SESSION_PREFIX: &str = "ASIA";

impl Caller {
    /// The caller of a request; `None` where it isn't signed. Signatures aren't checked.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let authorization = headers.get(AUTHORIZATION)?.to_str().ok()?;
        let access_key_id = authorization
            .split_once("Credential=")
            .and_then(|(_, scope)| scope.split('/').next())
            .unwrap_or_default()
            .to_owned();
        let token = headers
            .get("x-amz-security-token")
            .and_then(|token| token.to_str().ok())
            .map(str::to_owned);
        Some(Self {
            access_key_id,
            token,
        })
    }

    /// The account whose session this is. All other credentials are the first account's.
    pub(super) fn account_id(&self) -> Option<&str> {
        self.access_key_id
            .strip_prefix(SESSION_PREFIX)
            .and_then(|rest| rest.get(..12))
            .filter(|id| id.bytes().all(|byte| byte.is_ascii_digit()))
    }

    /// The caller's ARN in the account that it was routed to, if its credentials are in force.
    pub(super) fn authenticate(&self, site: &Site) -> Result<String, Failure> {
        if self.account_id().is_none() {
            return Ok(site.account().caller_arn());
        }
        let session = site
            .session(&self.access_key_id)
            .filter(|session| self.token.as_ref() == Some(&session.token))
            .ok_or_else(|| Failure::of(ErrorCode::InvalidClientTokenId))?;
        if session.expires <= now() {
            return Err(Failure::of(ErrorCode::ExpiredToken));
        }
        Ok(session.arn)
    }
}

/// The account that a role's ARN names.
pub(super) fn account_of_role(form: &Form) -> Option<&str> {
    form.get("RoleArn")?.split(':').nth(4)
}

/// `AssumeRole`: gives a session for a role of `site`, the account that the role's ARN names, if there is one.
pub(super) fn assume_role(
    caller: &str,
    site: Option<&Site>,
    lifetime: Option<Duration>,
    form: &Form,
) -> Result<String, Failure> {
    let role_arn = form.get("RoleArn").unwrap_or_default();
    let session_name = form.get("RoleSessionName").unwrap_or_default();
    if !is_session_name(session_name) {
        return Err(invalid("roleSessionName"));
    }
    let seconds = match form.get("DurationSeconds").map(str::parse::<u64>) {
        None => 3_600,
        Some(Ok(seconds @ 900..=43_200)) => seconds,
        Some(_) => return Err(invalid("durationSeconds")),
    };
    // AWS doesn't tell a role that isn't there from one that may not be assumed.
    let denied = || {
        Failure::new(
            ErrorCode::AccessDenied,
            format!(
                "User: {caller} is not authorized to perform: sts:AssumeRole on resource: {role_arn}"
            ),
        )
    };
    let site = site.ok_or_else(denied)?;
    let (account_id, session_arn) = {
        let account = site.account();
        let name = allowed_role(&account, role_arn, form.get("ExternalId")).ok_or_else(denied)?;
        let arn = format!(
            "arn:{}:sts::{}:assumed-role/{name}/{session_name}",
            account.partition, account.id
        );
        (account.id.clone(), arn)
    };
    let session = site.begin_session(|serial| {
        let access_key_id = format!("{SESSION_PREFIX}{account_id}{serial:04X}");
        let session = Session {
            token: format!("session/of+{access_key_id}=="),
            access_key_id: access_key_id.clone(),
            expires: now() + lifetime.unwrap_or(Duration::from_secs(seconds)),
            arn: session_arn,
        };
        (access_key_id, session)
    });
    Ok(document(&session))
}

/// The name of the role of that ARN, if it asks for this external id or for none.
fn allowed_role(account: &Account, arn: &str, external_id: Option<&str>) -> Option<String> {
    let (name, role) = account
        .roles
        .iter()
        .find(|(name, role)| account.role_arn(name, role) == arn)?;
    let allowed = role.external_id.is_none() || role.external_id.as_deref() == external_id;
    allowed.then(|| name.clone())
}

fn document(session: &Session) -> String {
    let role_id = format!(
        "AROAEXAMPLE:{}",
        session.arn.rsplit('/').next().unwrap_or_default()
    );
    let mut xml = "<AssumedRoleUser>".to_owned();
    xml += &element("AssumedRoleId", &role_id);
    xml += &element("Arn", &session.arn);
    xml += "</AssumedRoleUser><Credentials>";
    xml += &element("AccessKeyId", &session.access_key_id);
    xml += &element("SecretAccessKey", "not-a-secret");
    xml += &element("SessionToken", &session.token);
    xml += &element("Expiration", &zulu(DateTime::<Utc>::from(session.expires)));
    xml += "</Credentials>";
    xml
}

fn invalid(what: &str) -> Failure {
    Failure::new(
        ErrorCode::ValidationError,
        format!("1 validation error detected: Value at '{what}' failed to satisfy constraint"),
    )
}

/// 2 to 64 of `[\w+=,.@-]` (STS API reference, `AssumeRole`).
fn is_session_name(name: &str) -> bool {
    (2..=64).contains(&name.len())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_+=,.@-".contains(&byte))
}

#[expect(
    clippy::disallowed_methods,
    reason = "clients hold an expiry against the machine's clock"
)]
fn now() -> SystemTime {
    SystemTime::now()
}
