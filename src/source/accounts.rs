//! Which accounts of AWS are read, and how they are reached.

use std::{fmt, str::FromStr, sync::Arc, time::Duration};

use crate::{
    glob::Glob,
    key::{AccountId, ArnOwner},
};

/// Which accounts are read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Accounts {
    /// The one that the exporter's own credentials belong to.
    #[default]
    Own,
    /// Those of these roles, and no other.
    Listed(Vec<Role>),
    /// The members of an organisation.
    Organization(Organization),
}

/// A role in an account, to be assumed to read that account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Role {
    /// The role; the account and its partition follow from it.
    pub arn: RoleArn,
    /// What the role's trust policy demands beside the caller's identity.
    pub external_id: Option<ExternalId>,
    /// How the session is called in `CloudTrail` of that account.
    pub session_name: Option<SessionName>,
    /// How the account is called on every surface.
    pub name: Option<Arc<str>>,
    /// The region whose STS is asked and whose name signs calls to IAM.
    pub region: Option<RegionName>,
}

/// An organisation, whose active members are read through a role of one name in each of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Organization {
    /// The role to assume in every member but the exporter's own account.
    pub role_name: RoleName,
    /// What the roles' trust policies demand beside the caller's identity.
    pub external_id: Option<ExternalId>,
    /// How the sessions are called in `CloudTrail`.
    pub session_name: Option<SessionName>,
    /// The region whose STS is asked and whose name signs calls to IAM.
    pub region: Option<RegionName>,
    /// A member is read if any of these matches; all are if there is none.
    pub include: Vec<AccountFilter>,
    /// A member that any of these matches is not read, whatever `include` says.
    pub exclude: Vec<AccountFilter>,
    /// From one look at the list of members to the next.
    pub discovery_interval: Duration,
}

/// How often the members of an organisation are looked up unless told otherwise.
pub const DISCOVERY_INTERVAL: Duration = Duration::from_hours(1);

/// What picks members of an organisation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccountFilter {
    /// The account of that id.
    Id(AccountId),
    /// Every account in that organizational unit or root, nested ones included.
    Ou(OuId),
    /// Every account with that tag.
    Tag {
        /// The tag's key; letter case counts.
        key: String,
        /// What its value has to be; any if `None`.
        value: Option<Glob>,
    },
}

/// A text that doesn't name what it should, with what is allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{}\" is not {expected}", text.escape_debug())]
pub struct BadName {
    text: String,
    expected: &'static str,
}

impl BadName {
    fn new(text: &str, expected: &'static str) -> Self {
        Self {
            text: text.to_owned(),
            expected,
        }
    }
}

/// The ARN of a role, `arn:PARTITION:iam::ACCOUNT:role/PATH/NAME`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RoleArn {
    text: Arc<str>,
    account: AccountId,
    partition: Arc<str>,
}

impl RoleArn {
    /// The account that the role is in.
    pub fn account(&self) -> AccountId {
        self.account
    }

    /// The partition of that account.
    pub fn partition(&self) -> &Arc<str> {
        &self.partition
    }

    /// The whole ARN.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl FromStr for RoleArn {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = || {
            let expected =
                "the ARN of a role, e.g. arn:aws:iam::111122223333:role/iam-key-exporter";
            BadName::new(text, expected)
        };
        let ArnOwner { account, partition } = text.parse().map_err(|_| bad())?;
        let role = text
            .strip_prefix(&format!("arn:{partition}:iam::{account}:role/"))
            .ok_or_else(bad)?;
        let is_partition = partition.starts_with("aws")
            && partition
                .chars()
                .all(|c| matches!(c, 'a'..='z' | '0'..='9' | '-'));
        if !is_partition || !is_path_and_name(role) {
            return Err(bad());
        }
        Ok(Self {
            text: text.into(),
            account,
            partition,
        })
    }
}

impl fmt::Display for RoleArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for RoleArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The name of a role with its path, `NAME` or `PATH/NAME`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct RoleName(Arc<str>);

impl RoleName {
    /// The role of that name in an account.
    pub fn in_account(&self, partition: &Arc<str>, account: AccountId) -> RoleArn {
        RoleArn {
            text: format!("arn:{partition}:iam::{account}:role/{}", self.0).into(),
            account,
            partition: Arc::clone(partition),
        }
    }

    /// The name with its path, without a slash before it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RoleName {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let name = text.strip_prefix('/').unwrap_or(text);
        // A path may hold colons, but an ARN is a slip.
        if is_path_and_name(name) && !name.starts_with("arn:") {
            Ok(Self(name.into()))
        } else {
            let expected = "the name of a role: at most 64 of letters, digits and +=,.@_-, with its \
                path before it if it has one, e.g. audit/iam-key-exporter";
            Err(BadName::new(text, expected))
        }
    }
}

impl fmt::Display for RoleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for RoleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether it is the name of a role, or its path and name, as in a role's ARN after `role/`.
///
/// Source: IAM API Reference, `Role` (`RoleName`, `Path`).
fn is_path_and_name(text: &str) -> bool {
    let (path, name) = match text.rsplit_once('/') {
        Some((path, name)) => (Some(path), name),
        None => (None, text),
    };
    let is_path = path.is_none_or(|path| {
        (1..=510).contains(&path.len())
            && path.chars().all(|c| matches!(c, '!'..='~'))
            && !path.starts_with('/')
    });
    is_path && (1..=64).contains(&name.len()) && name.chars().all(is_name_character)
}

/// The characters that names in IAM and STS have in common (`[\w+=,.@-]`).
fn is_name_character(c: char) -> bool {
    matches!(c, 'a'..='z' | 'A'..='Z' | '0'..='9' | '_' | '+' | '=' | ',' | '.' | '@' | '-')
}

/// Defines a text that is one of STS's or Organizations' parameters.
macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $expected:literal, $is_valid:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// As text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = BadName;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let is_valid: fn(&str) -> bool = $is_valid;
                if is_valid(text) {
                    Ok(Self(text.into()))
                } else {
                    Err(BadName::new(text, $expected))
                }
            }
        }
    };
}

name!(
    /// What a trust policy compares with `sts:ExternalId`. AWS doesn't hold it for a secret, but who
    /// guesses it is one step further, so it is shown nowhere.
    ///
    /// Source: STS API Reference, `AssumeRole`.
    ExternalId,
    "an external id: 2 to 1224 of letters, digits and +=,.@:/_-",
    |text| (2..=1224).contains(&text.len())
        && text.chars().all(|c| is_name_character(c) || matches!(c, ':' | '/'))
);

name!(
    /// The name of a session of a role, as `CloudTrail` shows it.
    ///
    /// Source: STS API Reference, `AssumeRole`.
    SessionName,
    "a session name: 2 to 64 of letters, digits and +=,.@_-",
    |text| (2..=64).contains(&text.len()) && text.chars().all(is_name_character)
);

name!(
    /// The name of an AWS region, e.g. `eu-central-1`. New ones keep appearing, so only the shape
    /// is looked at.
    RegionName,
    "a region, e.g. eu-central-1",
    |text| text.len() <= 64
        && text.split('-').count() >= 3
        && text.split('-').all(|part| !part.is_empty()
            && part.chars().all(|c| matches!(c, 'a'..='z' | '0'..='9')))
        && text.ends_with(|c: char| c.is_ascii_digit())
);

name!(
    /// The id of an organizational unit or of an organisation's root.
    ///
    /// Source: Organizations API Reference, `OrganizationalUnit` and `Root`.
    OuId,
    "the id of an organizational unit (ou-xxxx-xxxxxxxx) or root (r-xxxx)",
    |text| {
        let is_part = |part: &str, least: usize| (least..=32).contains(&part.len())
            && part.chars().all(|c| matches!(c, 'a'..='z' | '0'..='9'));
        match text.split('-').collect::<Vec<_>>()[..] {
            ["r", root] => is_part(root, 4),
            ["ou", root, unit] => is_part(root, 4) && is_part(unit, 8),
            _ => false,
        }
    }
);

impl fmt::Debug for ExternalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ExternalId(…)")
    }
}

/// Shows a name as it is.
macro_rules! shown {
    ($($name:ident),+) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )+};
}

shown!(SessionName, RegionName, OuId);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arn_of_a_role_tells_account_and_partition() {
        let long_name = format!("arn:aws:iam::111122223333:role/{}", "a".repeat(64));
        for (text, account, partition) in [
            (
                "arn:aws:iam::111122223333:role/iam-key-exporter",
                "111122223333",
                "aws",
            ),
            (
                "arn:aws:iam::000000000042:role/audit/deep/Key_Reader@x",
                "000000000042",
                "aws",
            ),
            (
                "arn:aws-us-gov:iam::111122223333:role/r",
                "111122223333",
                "aws-us-gov",
            ),
            (
                "arn:aws-cn:iam::111122223333:role/r",
                "111122223333",
                "aws-cn",
            ),
            (&long_name, "111122223333", "aws"),
        ] {
            let arn: RoleArn = text.parse().unwrap();
            assert_eq!(arn.account().as_str(), account);
            assert_eq!(&**arn.partition(), partition);
            assert_eq!(arn.as_str(), text);
        }
    }

    #[test]
    fn what_is_no_role_is_refused_and_told_what_is_allowed() {
        let too_long = format!("arn:aws:iam::111122223333:role/{}", "a".repeat(65));
        for text in [
            "",
            "iam-key-exporter",
            "arn:aws:iam::111122223333:user/alice",
            "arn:aws:iam::111122223333:role/",
            "arn:aws:iam::111122223333:role/path/",
            "arn:aws:iam::111122223333:role//r",
            "arn:aws:iam::111122223333:role/a b",
            "arn:aws:iam::11112222333:role/r",
            "arn:aws:iam:us-east-1:111122223333:role/r",
            "arn:aws:sts::111122223333:role/r",
            "arn:aws:sts::111122223333:assumed-role/r/session",
            "arn:AWS:iam::111122223333:role/r",
            "arn:gcp:iam::111122223333:role/r",
            " arn:aws:iam::111122223333:role/r",
            &too_long,
        ] {
            let error = text.parse::<RoleArn>().unwrap_err().to_string();
            assert!(error.contains("arn:aws:iam::111122223333:role/"), "{error}");
        }
    }

    #[test]
    fn the_name_of_a_role_may_have_a_path_and_gives_the_arn_in_an_account() {
        let account = "444455556666".parse().unwrap();
        for (text, arn) in [
            ("Reader", "arn:aws-cn:iam::444455556666:role/Reader"),
            ("/Reader", "arn:aws-cn:iam::444455556666:role/Reader"),
            (
                "audit/a/Reader",
                "arn:aws-cn:iam::444455556666:role/audit/a/Reader",
            ),
            (
                "/audit/Reader",
                "arn:aws-cn:iam::444455556666:role/audit/Reader",
            ),
        ] {
            let name: RoleName = text.parse().unwrap();
            let made = name.in_account(&"aws-cn".into(), account);
            assert_eq!(made, arn.parse().unwrap());
        }
        let an_arn = "arn:aws:iam::111122223333:role/Reader";
        for text in ["", "/", "audit/", "//Reader", "Reader name", "rôle", an_arn] {
            assert!(text.parse::<RoleName>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn parameters_of_sts_keep_to_its_rules() {
        let ids = ["ab", "a:b/c+=,.@-_9", &"x".repeat(1224)];
        assert!(ids.iter().all(|text| text.parse::<ExternalId>().is_ok()));
        let not_ids = ["", "a", "a b", "ä1", "a*", &"x".repeat(1225)];
        assert!(
            not_ids
                .iter()
                .all(|text| text.parse::<ExternalId>().is_err())
        );

        let sessions = ["ab", "iam-key-exporter", "a@b.c=d,e+f_g", &"x".repeat(64)];
        assert!(
            sessions
                .iter()
                .all(|text| text.parse::<SessionName>().is_ok())
        );
        let not_sessions = ["", "a", "a b", "a/b", "a:b", &"x".repeat(65)];
        assert!(
            not_sessions
                .iter()
                .all(|text| text.parse::<SessionName>().is_err())
        );
    }

    #[test]
    fn an_external_id_is_not_shown_by_what_holds_it() {
        let id: ExternalId = "guess-me-42".parse().unwrap();
        assert_eq!(format!("{id:?}"), "ExternalId(…)");
    }

    #[test]
    fn regions_and_organizational_units_have_a_shape() {
        for text in [
            "eu-central-1",
            "us-gov-west-1",
            "cn-northwest-1",
            "eusc-de-east-1",
        ] {
            assert!(text.parse::<RegionName>().is_ok(), "{text}");
        }
        for text in [
            "",
            "eu",
            "eu-central",
            "EU-CENTRAL-1",
            "eu--1",
            "a.b-c-1",
            "eu-central-1 ",
        ] {
            assert!(text.parse::<RegionName>().is_err(), "{text}");
        }
        for text in ["r-ab12", "ou-ab12-12345678", "ou-ab12-abcdefgh9"] {
            assert!(text.parse::<OuId>().is_ok(), "{text}");
        }
        for text in [
            "",
            "r-",
            "r-abc",
            "ou-ab12",
            "ou-ab12-1234567",
            "OU-ab12-12345678",
            "ou-ab12-12345678-x",
        ] {
            assert!(text.parse::<OuId>().is_err(), "{text}");
        }
    }
}
