//! The shape of the configuration file.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{Error, IntoDeserializer, MapAccess, Visitor, value::MapAccessDeserializer},
};

use super::value::{
    AccountName, BoundaryName, Days, Interval, LabelName, NonEmpty, NonEmptyMap, PathPrefix,
    Reason, TagKey, Text, Until, UserPattern, given,
};
use crate::{
    glob::Glob,
    key::AccountId,
    source::accounts::{ExternalId, OuId, RegionName, RoleArn, RoleName, SessionName},
    yaml::Spanned,
};

/// The whole file. Nothing in it is required, but what is there must have a value: a template that
/// rendered nothing would else make a rule one for everybody.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct File {
    #[serde(default, deserialize_with = "given")]
    pub(super) accounts: Option<NonEmpty<RoleFields>>,
    #[serde(default, deserialize_with = "given")]
    pub(super) organization: Option<OrganizationFields>,
    pub(super) policy: PolicyFields,
    pub(super) exemptions: Vec<ExemptionFields>,
    pub(super) tags: Vec<Spanned<TagFields>>,
}

/// An item of `accounts`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RoleFields {
    pub(super) role_arn: Spanned<Text<RoleArn>>,
    #[serde(default, deserialize_with = "given")]
    pub(super) external_id: Option<Text<ExternalId>>,
    #[serde(default, deserialize_with = "given")]
    pub(super) session_name: Option<Text<SessionName>>,
    #[serde(default, deserialize_with = "given")]
    pub(super) name: Option<Text<AccountName>>,
    #[serde(default, deserialize_with = "given")]
    pub(super) region: Option<Text<RegionName>>,
}

/// `organization`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OrganizationFields {
    pub(super) role_name: Spanned<Text<RoleName>>,
    #[serde(default, deserialize_with = "given")]
    pub(super) external_id: Option<Text<ExternalId>>,
    #[serde(default, deserialize_with = "given")]
    pub(super) session_name: Option<Text<SessionName>>,
    #[serde(default, deserialize_with = "given")]
    pub(super) region: Option<Text<RegionName>>,
    #[serde(default, deserialize_with = "given")]
    pub(super) discovery_interval: Option<Text<Interval>>,
    #[serde(default, deserialize_with = "given")]
    pub(super) include: Option<Spanned<FilterFields>>,
    #[serde(default, deserialize_with = "given")]
    pub(super) exclude: Option<Spanned<FilterFields>>,
}

/// `organization.include` and `.exclude`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FilterFields {
    #[serde(default, deserialize_with = "given")]
    pub(super) account_ids: Option<NonEmpty<Text<AccountId>>>,
    #[serde(default, deserialize_with = "given")]
    pub(super) organizational_units: Option<NonEmpty<Text<OuId>>>,
    #[serde(default, deserialize_with = "given")]
    pub(super) tags: Option<NonEmptyMap<TagKey, NonEmpty<Text<Glob>>>>,
}

/// `policy`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct PolicyFields {
    #[serde(default, deserialize_with = "given")]
    pub(super) max_age_days: Option<Spanned<Days<1>>>,
    #[serde(default, deserialize_with = "given")]
    pub(super) warn_before_days: Option<Spanned<Days<0>>>,
    #[serde(default, deserialize_with = "given")]
    pub(super) settle_days: Option<Spanned<Days<1>>>,
    #[serde(default, deserialize_with = "given")]
    pub(super) unused_days: Option<Spanned<Days<1>>>,
    #[serde(default, deserialize_with = "given")]
    pub(super) boundary: Option<Spanned<Text<BoundaryName>>>,
    pub(super) overrides: Vec<OverrideFields>,
}

/// An item of `policy.overrides`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OverrideFields {
    #[serde(rename = "match")]
    pub(super) matcher: MatcherFields,
    pub(super) max_age_days: Spanned<Days<1>>,
}

/// An item of `exemptions`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ExemptionFields {
    #[serde(rename = "match")]
    pub(super) matcher: MatcherFields,
    pub(super) reason: Spanned<Text<Reason>>,
    #[serde(default, deserialize_with = "given")]
    pub(super) until: Option<Text<Until>>,
}

/// `match` of a rule
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MatcherFields {
    #[serde(default, deserialize_with = "given")]
    pub(super) account_ids: Option<NonEmpty<Text<AccountId>>>,
    #[serde(default, deserialize_with = "given")]
    pub(super) account_names: Option<NonEmpty<Text<Glob>>>,
    #[serde(default, deserialize_with = "given")]
    pub(super) user_names: Option<NonEmpty<Text<UserPattern>>>,
    #[serde(default, deserialize_with = "given")]
    pub(super) paths: Option<NonEmpty<Text<PathPrefix>>>,
    #[serde(default, deserialize_with = "given")]
    pub(super) tags: Option<NonEmptyMap<TagKey, NonEmpty<Text<Glob>>>>,
}

/// An item of `tags`: the key alone, or with the name of its label.
#[derive(Debug)]
pub(super) struct TagFields {
    pub(super) key: Text<TagKey>,
    pub(super) label: Option<Text<LabelName>>,
}

impl<'de> Deserialize<'de> for TagFields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Labelled {
            key: Text<TagKey>,
            #[serde(default, deserialize_with = "given")]
            label: Option<Text<LabelName>>,
        }

        struct TagVisitor;

        impl<'de> Visitor<'de> for TagVisitor {
            type Value = TagFields;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the key of a tag, or a mapping of key and label")
            }

            fn visit_str<E: Error>(self, key: &str) -> Result<TagFields, E> {
                let key = Text::deserialize(key.into_deserializer())?;
                Ok(TagFields { key, label: None })
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<TagFields, A::Error> {
                let Labelled { key, label } =
                    Labelled::deserialize(MapAccessDeserializer::new(map))?;
                Ok(TagFields { key, label })
            }
        }

        deserializer.deserialize_any(TagVisitor)
    }
}
