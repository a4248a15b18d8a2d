//! Which accounts are read.

use std::collections::BTreeMap;

use super::{
    file::{FilterFields, OrganizationFields, RoleFields},
    value::NonEmpty,
};
use crate::{
    key::AccountId,
    source::accounts::{AccountFilter, Accounts, DISCOVERY_INTERVAL, Organization, Role},
    yaml::{Spanned, YamlError},
};

pub(super) fn accounts(
    listed: Option<NonEmpty<RoleFields>>,
    organization: Option<OrganizationFields>,
) -> Result<Accounts, YamlError> {
    match (listed, organization) {
        (None, None) => Ok(Accounts::Own),
        (Some(roles), None) => roles_of(roles).map(Accounts::Listed),
        (None, Some(fields)) => organization_of(fields).map(Accounts::Organization),
        (Some(_), Some(fields)) => Err(YamlError::at(
            &fields.role_name,
            "organization",
            "given beside accounts; only one of the two is allowed",
        )),
    }
}

fn roles_of(NonEmpty(items): NonEmpty<RoleFields>) -> Result<Vec<Role>, YamlError> {
    let mut places: BTreeMap<AccountId, usize> = BTreeMap::new();
    let mut roles = Vec::with_capacity(items.len());
    for (place, item) in items.into_iter().enumerate() {
        let RoleFields {
            role_arn,
            external_id,
            session_name,
            name,
            region,
        } = item;
        let account = role_arn.value.0.account();
        if let Some(first) = places.insert(account, place) {
            return Err(YamlError::at(
                &role_arn,
                format!("accounts[{place}].role_arn"),
                format_args!(
                    "account {account} is read through accounts[{first}] already; only one role for each is allowed"
                ),
            ));
        }
        roles.push(Role {
            arn: role_arn.value.0,
            external_id: external_id.map(|id| id.0),
            session_name: session_name.map(|name| name.0),
            name: name.map(|name| name.0.0),
            region: region.map(|region| region.0),
        });
    }
    Ok(roles)
}

fn organization_of(fields: OrganizationFields) -> Result<Organization, YamlError> {
    let OrganizationFields {
        role_name,
        external_id,
        session_name,
        region,
        discovery_interval,
        include,
        exclude,
    } = fields;
    Ok(Organization {
        role_name: role_name.value.0,
        external_id: external_id.map(|id| id.0),
        session_name: session_name.map(|name| name.0),
        region: region.map(|region| region.0),
        include: filters("include", include)?,
        exclude: filters("exclude", exclude)?,
        discovery_interval: discovery_interval.map_or(DISCOVERY_INTERVAL, |interval| interval.0.0),
    })
}

/// The filters, of which any one decides. An empty field could mean all as well as none.
fn filters(
    field: &str,
    fields: Option<Spanned<FilterFields>>,
) -> Result<Vec<AccountFilter>, YamlError> {
    let Some(fields) = fields else {
        return Ok(Vec::new());
    };
    let place = Spanned {
        value: (),
        referenced: fields.referenced,
        defined: fields.defined,
    };
    let FilterFields {
        account_ids,
        organizational_units,
        tags,
    } = fields.value;
    let ids = account_ids.into_iter().flat_map(|ids| ids.0);
    let units = organizational_units.into_iter().flat_map(|units| units.0);
    let tags = tags.into_iter().flat_map(|tags| tags.0);
    let tags = tags.flat_map(|(key, NonEmpty(values))| {
        values.into_iter().map(move |value| AccountFilter::Tag {
            key: key.0.to_string(),
            value: Some(value.0),
        })
    });
    let filters: Vec<_> = ids
        .map(|id| AccountFilter::Id(id.0))
        .chain(units.map(|unit| AccountFilter::Ou(unit.0)))
        .chain(tags)
        .collect();
    if filters.is_empty() {
        return Err(YamlError::at(
            &place,
            format!("organization.{field}"),
            "must have at least one of account_ids, organizational_units and tags",
        ));
    }
    Ok(filters)
}
