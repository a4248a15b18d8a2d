//! The answers of IAM, and of STS about the caller.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::account::{Account, zulu};
use super::identity::LastUsed;
use super::operation::Operation;
use super::page::Cursor;
use super::report::Generation;
use super::wire::{ErrorCode, Failure, Form, element};

/// The inside of the `…Result` element of an operation on the caller's own account.
///
/// # Panics
/// On operations that reach beyond it.
pub(super) fn answer(
    operation: Operation,
    account: &mut Account,
    caller: &str,
    form: &Form,
) -> Result<String, Failure> {
    match operation {
        Operation::GetCallerIdentity => Ok(caller_identity(account, caller)),
        Operation::ListUsers => list_users(account, form),
        Operation::ListAccessKeys => list_access_keys(account, form),
        Operation::GetAccessKeyLastUsed => access_key_last_used(account, form),
        Operation::GetAccountSummary => Ok(account_summary(account)),
        Operation::ListAccountAliases => Ok(account_aliases(account)),
        Operation::ListUserTags => list_user_tags(account, form),
        Operation::GenerateCredentialReport => Ok(generate_report(account)),
        Operation::GetCredentialReport => get_report(account),
        other => unreachable!("{other:?} is answered elsewhere"),
    }
}

/// Whose credentials they are, which is nobody else's business than the caller's.
fn caller_identity(account: &Account, caller: &str) -> String {
    let mut xml = element("Arn", caller);
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
