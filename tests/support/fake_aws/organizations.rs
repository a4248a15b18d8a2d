//! The answers of Organizations, in JSON.

use serde_json::{Map, Value, json};

use super::operation::Operation;
use super::organization::{Member, Organization, StateFields, Unit};
use super::wire::{ErrorCode, Failure, Form};

/// Who asks: the account of the credentials, and its partition.
pub(super) struct Asker<'a> {
    pub(super) account: &'a str,
    pub(super) partition: &'a str,
}

/// The body of an answer.
///
/// # Panics
/// On operations of other services.
pub(super) fn answer(
    operation: Operation,
    organization: Option<&Organization>,
    asker: &Asker<'_>,
    form: &Form,
) -> Result<String, Failure> {
    let organization = organization
        .filter(|organization| organization.members.contains_key(asker.account))
        .ok_or_else(|| Failure::of(ErrorCode::OrganizationsNotInUse))?;
    let view = View {
        organization,
        partition: asker.partition,
    };
    if operation == Operation::DescribeOrganization {
        return Ok(json!({ "Organization": view.description() }).to_string());
    }
    let reader = organization.management == asker.account
        || organization.delegates.iter().any(|id| id == asker.account);
    if !reader {
        let message = "You don't have permissions to access this resource.";
        return Err(Failure::new(ErrorCode::AccessDenied, message));
    }
    let page = match operation {
        Operation::ListAccounts => view.accounts(form, |_| true),
        Operation::ListAccountsForParent => {
            let parent = view.parent(form)?;
            view.accounts(form, |member| member.parent == parent)
        }
        Operation::ListOrganizationalUnitsForParent => view.units(form, view.parent(form)?),
        Operation::ListRoots => view.page(form, "Roots", [("", view.root())].into_iter()),
        Operation::ListTagsForResource => view.tags(form)?,
        other => unreachable!("{other:?} is answered elsewhere"),
    };
    page.map(|page| page.to_string())
}

/// An organization as it is seen from outside.
struct View<'a> {
    organization: &'a Organization,
    partition: &'a str,
}

type Page = Result<Value, Failure>;

impl View<'_> {
    fn description(&self) -> Value {
        let management = &self.organization.management;
        json!({
            "Id": Organization::ID,
            "Arn": self.arn("organization", ""),
            "FeatureSet": "ALL",
            "MasterAccountArn": self.arn("account", management),
            "MasterAccountId": management,
            "MasterAccountEmail": email(management),
        })
    }

    fn root(&self) -> Value {
        json!({
            "Id": Organization::ROOT,
            "Arn": self.arn("root", Organization::ROOT),
            "Name": "Root",
            "PolicyTypes": [],
        })
    }

    fn accounts(&self, form: &Form, wanted: impl Fn(&Member) -> bool) -> Page {
        let members = self.organization.members.iter();
        let accounts = members
            .filter(|(_, member)| wanted(member))
            .map(|(id, member)| (id.as_str(), self.account(id, member)));
        self.page(form, "Accounts", accounts)
    }

    fn account(&self, id: &str, member: &Member) -> Value {
        let mut account = json!({
            "Id": id,
            "Arn": self.arn("account", id),
            "Email": email(id),
            "Name": member.name,
            "JoinedMethod": "CREATED",
            "JoinedTimestamp": 1_546_300_800.0,
        });
        if self.organization.state_fields != StateFields::State {
            account["Status"] = member.state.status().into();
        }
        if self.organization.state_fields != StateFields::Status {
            account["State"] = member.state.state().into();
        }
        account
    }

    fn units(&self, form: &Form, parent: &str) -> Page {
        let units = self.organization.units.iter();
        let units =
            units
                .filter(|(_, unit)| unit.parent == parent)
                .map(|(id, Unit { name, .. })| {
                    let unit = json!({ "Id": id, "Arn": self.arn("ou", id), "Name": name });
                    (id.as_str(), unit)
                });
        self.page(form, "OrganizationalUnits", units)
    }

    fn tags(&self, form: &Form) -> Result<Page, Failure> {
        let id = form.get("ResourceId").unwrap_or_default();
        let of_member = self.organization.members.get(id).map(|member| &member.tags);
        let of_unit = self.organization.units.get(id).map(|unit| &unit.tags);
        let tags = of_member
            .or(of_unit)
            .ok_or_else(|| Failure::of(ErrorCode::TargetNotFound))?;
        let tags = tags
            .iter()
            .map(|(key, value)| (key.as_str(), json!({ "Key": key, "Value": value })));
        Ok(self.page(form, "Tags", tags))
    }

    fn parent<'f>(&self, form: &'f Form) -> Result<&'f str, Failure> {
        form.get("ParentId")
            .filter(|id| self.organization.is_parent(id))
            .ok_or_else(|| Failure::of(ErrorCode::ParentNotFound))
    }

    /// The page that a token asks for. Tokens are a letter, which says whether the empty page before the next one was
    /// given, and the id that was given last.
    fn page<'v>(
        &self,
        form: &Form,
        field: &str,
        items: impl Iterator<Item = (&'v str, Value)>,
    ) -> Page {
        let invalid = || Failure::of(ErrorCode::ValidationError);
        let asked = match form.get("MaxResults").map(str::parse::<usize>) {
            None => self.organization.page_size,
            Some(Ok(asked @ 1..=20)) => asked.min(self.organization.page_size),
            Some(_) => return Err(invalid()),
        };
        let (empty_given, after) = match form.get("NextToken") {
            None => (false, ""),
            Some(token) => match token.split_at_checked(1) {
                Some(("e", after)) => (true, after),
                Some(("d", after)) => (false, after),
                _ => return Err(invalid()),
            },
        };
        let mut rest = items
            .filter(|(id, _)| after.is_empty() || *id > after)
            .peekable();
        let mut answer = Map::new();
        if self.organization.empty_pages && !empty_given && rest.peek().is_some() {
            answer.insert(field.to_owned(), json!([]));
            answer.insert("NextToken".to_owned(), format!("e{after}").into());
            return Ok(answer.into());
        }
        let mut last = "";
        let page: Vec<_> = rest
            .by_ref()
            .take(asked.max(1))
            .map(|(id, item)| {
                last = id;
                item
            })
            .collect();
        answer.insert(field.to_owned(), page.into());
        if rest.peek().is_some() {
            answer.insert("NextToken".to_owned(), format!("d{last}").into());
        }
        Ok(answer.into())
    }

    fn arn(&self, kind: &str, id: &str) -> String {
        let slash = if id.is_empty() { "" } else { "/" };
        format!(
            "arn:{}:organizations::{}:{kind}/{}{slash}{id}",
            self.partition,
            self.organization.management,
            Organization::ID
        )
    }
}

fn email(id: &str) -> String {
    format!("aws+{id}@example.com")
}
