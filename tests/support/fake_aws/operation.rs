//! The operations the double knows, and their answers.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::account::{Account, LastUsed, zulu};
use super::page::Cursor;
use super::report::Generation;
use super::wire::{ErrorCode, Failure, Form, element};

/// An operation of IAM or STS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operation {
    /// `sts:GetCallerIdentity`
    GetCallerIdentity,
    /// `iam:ListUsers`
    ListUsers,
    /// `iam:ListAccessKeys`
    ListAccessKeys,
    /// `iam:GetAccessKeyLastUsed`
    GetAccessKeyLastUsed,
    /// `iam:GetAccountSummary`
    GetAccountSummary,
    /// `iam:ListAccountAliases`
    ListAccountAliases,
    /// `iam:ListUserTags`
    ListUserTags,
    /// `iam:GenerateCredentialReport`
    GenerateCredentialReport,
    /// `iam:GetCredentialReport`
    GetCredentialReport,
}

impl Operation {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::GetCallerIdentity,
        Self::ListUsers,
        Self::ListAccessKeys,
        Self::GetAccessKeyLastUsed,
        Self::GetAccountSummary,
        Self::ListAccountAliases,
        Self::ListUserTags,
        Self::GenerateCredentialReport,
        Self::GetCredentialReport,
    ];

    /// The value of `Action` on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::GetCallerIdentity => "GetCallerIdentity",
            Self::ListUsers => "ListUsers",
            Self::ListAccessKeys => "ListAccessKeys",
            Self::GetAccessKeyLastUsed => "GetAccessKeyLastUsed",
            Self::GetAccountSummary => "GetAccountSummary",
            Self::ListAccountAliases => "ListAccountAliases",
            Self::ListUserTags => "ListUserTags",
            Self::GenerateCredentialReport => "GenerateCredentialReport",
            Self::GetCredentialReport => "GetCredentialReport",
        }
    }

    /// The operation that `Action` and `Version` ask for.
    pub(super) fn from_form(form: &Form) -> Result<Self, Failure> {
        let action = form
            .get("Action")
            .ok_or_else(|| Failure::new(ErrorCode::MissingAction, "No Action was given"))?;
        let version = form.get("Version").unwrap_or_default();
        Self::ALL
            .into_iter()
            .find(|operation| {
                operation.name() == action && operation.service().version() == version
            })
            .ok_or_else(|| {
                let message = format!("Could not find operation {action} for version {version}");
                Failure::new(ErrorCode::InvalidAction, message)
            })
    }

    pub(super) fn service(self) -> Service {
        match self {
            Self::GetCallerIdentity => Service::Sts,
            _ => Service::Iam,
        }
    }

    /// The inside of the `…Result` element.
    pub(super) fn answer(self, account: &mut Account, form: &Form) -> Result<String, Failure> {
        match self {
            Self::GetCallerIdentity => Ok(caller_identity(account)),
            Self::ListUsers => list_users(account, form),
            Self::ListAccessKeys => list_access_keys(account, form),
            Self::GetAccessKeyLastUsed => access_key_last_used(account, form),
            Self::GetAccountSummary => Ok(account_summary(account)),
            Self::ListAccountAliases => Ok(account_aliases(account)),
            Self::ListUserTags => list_user_tags(account, form),
            Self::GenerateCredentialReport => Ok(generate_report(account)),
            Self::GetCredentialReport => get_report(account),
        }
    }
}

/// The two services, which differ in name space and version only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Service {
    Iam,
    Sts,
}

impl Service {
    pub(super) fn version(self) -> &'static str {
        match self {
            Self::Iam => "2010-05-08",
            Self::Sts => "2011-06-15",
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Iam => "iam",
            Self::Sts => "sts",
        }
    }

    pub(super) fn namespace(self) -> &'static str {
        match self {
            Self::Iam => "https://iam.amazonaws.com/doc/2010-05-08/",
            Self::Sts => "https://sts.amazonaws.com/doc/2011-06-15/",
        }
    }
}

fn caller_identity(account: &Account) -> String {
    let mut xml = element("Arn", &account.caller_arn());
    xml += &element("UserId", "AROAEXPORTEREXAMPLE01:fake");
    xml += &element("Account", &account.id);
    xml
}

fn list_users(account: &Account, form: &Form) -> Result<String, Failure> {
    let page = Cursor::read(form, account.page_style)?.page(account.users());
    let mut xml = page.head();
    xml += "<Users>";
    for (name, user) in page.items {
        xml += "<member>";
        xml += &element("Path", &user.path);
        xml += &element("UserName", name);
        xml += &element("UserId", &user.id);
        xml += &element("Arn", &account.user_arn(name, user));
        xml += &element("CreateDate", &zulu(user.created));
        if let Some(used) = user
            .password
            .as_ref()
            .and_then(|password| password.last_used)
        {
            xml += &element("PasswordLastUsed", &zulu(used));
        }
        xml += "</member>";
    }
    xml += "</Users>";
    Ok(xml)
}

fn list_access_keys(account: &Account, form: &Form) -> Result<String, Failure> {
    let Some(name) = form.get("UserName") else {
        return Err(Failure::new(
            ErrorCode::ValidationError,
            "Must specify userName when calling with non-User credentials",
        ));
    };
    let user = account.find_user(name)?;
    let page = Cursor::read(form, account.page_style)?.page(user.keys());
    let mut xml = page.head();
    xml += "<AccessKeyMetadata>";
    for (id, key) in page.items {
        xml += "<member>";
        xml += &element("UserName", name);
        xml += &element("AccessKeyId", id);
        xml += &element("Status", &key.status);
        xml += &element("CreateDate", &zulu(key.created));
        xml += "</member>";
    }
    xml += "</AccessKeyMetadata>";
    Ok(xml)
}

fn access_key_last_used(account: &Account, form: &Form) -> Result<String, Failure> {
    let id = form.get("AccessKeyId").unwrap_or_default();
    let Some((user_name, key)) = account.find_key(id) else {
        return Err(Failure::new(
            ErrorCode::NoSuchEntity,
            format!("The Access Key with id {id} cannot be found."),
        ));
    };
    let mut xml = element("UserName", user_name);
    xml += "<AccessKeyLastUsed>";
    match &key.last_used {
        // A key that was never used has no date at all, and `N/A` for the rest.
        LastUsed::Never => xml += "<Region>N/A</Region><ServiceName>N/A</ServiceName>",
        LastUsed::At {
            time,
            service,
            region,
        } => {
            xml += &element("Region", region);
            xml += &element("ServiceName", service);
            xml += &element("LastUsedDate", &zulu(*time));
        }
    }
    xml += "</AccessKeyLastUsed>";
    Ok(xml)
}

fn account_summary(account: &Account) -> String {
    let root = &account.root;
    let entries = [
        ("Users", account.users().len()),
        ("UsersQuota", 5_000),
        ("Groups", 0),
        ("AccessKeysPerUserQuota", 2),
        (
            "AccountAccessKeysPresent",
            usize::from(!root.keys.is_empty()),
        ),
        ("AccountMFAEnabled", usize::from(root.mfa)),
        ("AccountSigningCertificatesPresent", 0),
    ];
    let mut xml = "<SummaryMap>".to_owned();
    for (name, value) in entries {
        write!(
            xml,
            "<entry><key>{name}</key><value>{value}</value></entry>"
        )
        .expect("writing to a string cannot fail");
    }
    xml += "</SummaryMap>";
    xml
}

fn account_aliases(account: &Account) -> String {
    let mut xml = "<IsTruncated>false</IsTruncated><AccountAliases>".to_owned();
    if let Some(alias) = &account.alias {
        xml += &element("member", alias);
    }
    xml += "</AccountAliases>";
    xml
}

fn list_user_tags(account: &Account, form: &Form) -> Result<String, Failure> {
    let user = account.find_user(form.get("UserName").unwrap_or_default())?;
    let page = Cursor::read(form, account.page_style)?.page(&user.tags);
    let mut xml = page.head();
    xml += "<Tags>";
    for (key, value) in page.items {
        xml += "<member>";
        xml += &element("Key", key);
        xml += &element("Value", value);
        xml += "</member>";
    }
    xml += "</Tags>";
    Ok(xml)
}

fn generate_report(account: &mut Account) -> String {
    match account.generate_report() {
        Generation::Started { description } => {
            element("State", "STARTED") + &element("Description", description)
        }
        Generation::InProgress => element("State", "INPROGRESS"),
        Generation::Complete => element("State", "COMPLETE"),
    }
}

fn get_report(account: &mut Account) -> Result<String, Failure> {
    let (generated, content) = account.fetch_report()?;
    // Base64 needs no escaping, and it is by far the longest text here.
    let mut xml = String::with_capacity(content.len() * 4 / 3 + 200);
    xml += "<Content>";
    BASE64.encode_string(content, &mut xml);
    xml += "</Content>";
    xml += &element("GeneratedTime", &zulu(generated));
    xml += "<ReportFormat>text/csv</ReportFormat>";
    Ok(xml)
}
