//! An organization in moto, and its accounts as whoever assumes their roles sees them.

use aws_sdk_iam::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_organizations::types::{OrganizationFeatureSet, Tag};

use super::moto::Moto;

/// The role that moto makes in each account that is created.
pub(crate) const ROLE: &str = "audit";

/// An organization, managed by moto's first account.
pub(crate) struct Organization<'a> {
    moto: &'a Moto,
    organizations: aws_sdk_organizations::Client,
    sts: aws_sdk_sts::Client,
    /// The root's id.
    pub(crate) root: String,
}

impl<'a> Organization<'a> {
    /// Makes it: only the managing account is in it.
    pub(crate) async fn found(moto: &'a Moto) -> Self {
        let organizations = aws_sdk_organizations::Client::from_conf(
            aws_sdk_organizations::Config::builder()
                .behavior_version(BehaviorVersion::latest())
                .endpoint_url(moto.endpoint())
                .region(Region::from_static("us-east-1"))
                .credentials_provider(Moto::anyone())
                .build(),
        );
        let sts = aws_sdk_sts::Client::from_conf(
            aws_sdk_sts::Config::builder()
                .behavior_version(BehaviorVersion::latest())
                .endpoint_url(moto.endpoint())
                .region(Region::from_static("us-east-1"))
                .credentials_provider(Moto::anyone())
                .build(),
        );
        organizations
            .create_organization()
            .feature_set(OrganizationFeatureSet::All)
            .send()
            .await
            .expect("moto makes an organization");
        let roots = organizations.list_roots().send().await;
        let root = roots.expect("moto lists roots").roots()[0]
            .id()
            .expect("a root has an id")
            .to_owned();
        Self {
            moto,
            organizations,
            sts,
            root,
        }
    }

    /// Creates an account and gives its id.
    pub(crate) async fn create_account(&self, name: &str) -> String {
        self.organizations
            .create_account()
            .account_name(name)
            .email(format!("{name}@example.com"))
            .role_name(ROLE)
            .send()
            .await
            .expect("moto creates an account")
            .create_account_status
            .and_then(|status| status.account_id)
            .expect("moto tells the account's id")
    }

    /// Closes an account, which stays listed for 90 days in AWS and for ever in moto.
    pub(crate) async fn close_account(&self, id: &str) {
        self.organizations
            .close_account()
            .account_id(id)
            .send()
            .await
            .expect("moto closes an account");
    }

    /// Makes an organizational unit below the root and gives its id.
    pub(crate) async fn add_unit(&self, name: &str) -> String {
        self.organizations
            .create_organizational_unit()
            .parent_id(&self.root)
            .name(name)
            .send()
            .await
            .expect("moto makes a unit")
            .organizational_unit
            .and_then(|unit| unit.id)
            .expect("moto tells the unit's id")
    }

    /// Moves an account from the root into a unit.
    pub(crate) async fn move_account(&self, id: &str, unit: &str) {
        self.organizations
            .move_account()
            .account_id(id)
            .source_parent_id(&self.root)
            .destination_parent_id(unit)
            .send()
            .await
            .expect("moto moves an account");
    }

    /// Puts a tag on an account.
    pub(crate) async fn tag_account(&self, id: &str, key: &str, value: &str) {
        let tag = Tag::builder().key(key).value(value).build();
        self.organizations
            .tag_resource()
            .resource_id(id)
            .tags(tag.expect("both parts of the tag are there"))
            .send()
            .await
            .expect("moto tags an account");
    }

    /// Moto as seen from an account, by the role in it.
    pub(crate) async fn enter(&self, id: &str) -> Moto {
        let given = self
            .sts
            .assume_role()
            .role_arn(role_arn(id))
            .role_session_name("seeding")
            .send()
            .await
            .expect("moto gives a session")
            .credentials
            .expect("a session has credentials");
        let credentials = Credentials::new(
            given.access_key_id,
            given.secret_access_key,
            Some(given.session_token),
            None,
            "test",
        );
        self.moto.seen_from(id, credentials)
    }
}

/// The ARN of the role in an account.
pub(crate) fn role_arn(account: &str) -> String {
    format!("arn:aws:iam::{account}:role/{ROLE}")
}
