//! The operations the double knows, and the services they belong to.

use super::wire::{ErrorCode, Failure, Form};

macro_rules! operations {
    ($($service:ident::$name:ident,)*) => {
        /// An operation of one of the [`Service`]s.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Operation {
            $(
                #[doc = concat!("`", stringify!($service), ":", stringify!($name), "`")]
                $name,
            )*
        }

        impl Operation {
            /// All of them.
            pub const ALL: [Self; [$(Self::$name),*].len()] = [$(Self::$name),*];

            /// The value of `Action`, or the end of `X-Amz-Target`, on the wire.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)*
                }
            }

            /// Whose it is.
            pub fn service(self) -> Service {
                match self {
                    $(Self::$name => Service::$service,)*
                }
            }
        }
    };
}

operations! {
    Sts::GetCallerIdentity,
    Sts::AssumeRole,
    Iam::ListUsers,
    Iam::ListAccessKeys,
    Iam::GetAccessKeyLastUsed,
    Iam::GetAccountSummary,
    Iam::ListAccountAliases,
    Iam::ListUserTags,
    Iam::GenerateCredentialReport,
    Iam::GetCredentialReport,
    Organizations::DescribeOrganization,
    Organizations::ListAccounts,
    Organizations::ListAccountsForParent,
    Organizations::ListOrganizationalUnitsForParent,
    Organizations::ListRoots,
    Organizations::ListTagsForResource,
}

impl Operation {
    /// The operation that `Action` and `Version` ask for.
    pub(super) fn from_form(form: &Form) -> Result<Self, Failure> {
        let action = form
            .get("Action")
            .ok_or_else(|| Failure::new(ErrorCode::MissingAction, "No Action was given"))?;
        let version = form.get("Version").unwrap_or_default();
        Self::ALL
            .into_iter()
            .find(|operation| {
                operation.name() == action && operation.service().version() == Some(version)
            })
            .ok_or_else(|| {
                let message = format!("Could not find operation {action} for version {version}");
                Failure::new(ErrorCode::InvalidAction, message)
            })
    }

    /// The operation that the header `X-Amz-Target` asks for.
    pub(super) fn from_target(target: &str) -> Result<Self, Failure> {
        target
            .strip_prefix("AWSOrganizationsV20161128.")
            .and_then(|name| {
                Self::ALL.into_iter().find(|operation| {
                    operation.service() == Service::Organizations && operation.name() == name
                })
            })
            .ok_or_else(|| Failure::of(ErrorCode::UnknownOperation))
    }
}

/// A service, which has a protocol, a name space and a rate limit of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Service {
    /// Speaks the query protocol.
    Iam,
    /// Speaks the query protocol.
    Sts,
    /// Speaks JSON 1.1.
    Organizations,
}

impl Service {
    /// The value of `Version` in the query protocol.
    fn version(self) -> Option<&'static str> {
        match self {
            Self::Iam => Some("2010-05-08"),
            Self::Sts => Some("2011-06-15"),
            Self::Organizations => None,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Iam => "iam",
            Self::Sts => "sts",
            Self::Organizations => "organizations",
        }
    }

    /// The XML name space of its documents; JSON has none.
    pub(super) fn namespace(self) -> &'static str {
        match self {
            Self::Iam => "https://iam.amazonaws.com/doc/2010-05-08/",
            Self::Sts => "https://sts.amazonaws.com/doc/2011-06-15/",
            Self::Organizations => "",
        }
    }
}
