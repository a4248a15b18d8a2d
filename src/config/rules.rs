//! The rules for some users.

use super::{
    file::{ExemptionFields, MatcherFields, OverrideFields},
    value::{NonEmpty, Text},
};
use crate::{
    inventory::Exemption,
    policy::{ExemptionRule, Matcher, Override, TagMatcher},
    yaml::{Spanned, YamlError},
};

pub(super) fn overrides(items: Vec<OverrideFields>) -> Result<Vec<Override>, YamlError> {
    let rule = |(place, item): (usize, OverrideFields)| {
        let OverrideFields {
            matcher: fields,
            max_age_days,
        } = item;
        Ok(Override {
            matcher: matcher(fields, &max_age_days, || {
                format!("policy.overrides[{place}].match")
            })?,
            max_age: max_age_days.value.into(),
        })
    };
    items.into_iter().enumerate().map(rule).collect()
}

pub(super) fn exemptions(items: Vec<ExemptionFields>) -> Result<Vec<ExemptionRule>, YamlError> {
    let rule = |(place, item): (usize, ExemptionFields)| {
        let ExemptionFields {
            matcher: fields,
            reason,
            until,
        } = item;
        Ok(ExemptionRule {
            matcher: matcher(fields, &reason, || format!("exemptions[{place}].match"))?,
            exemption: Exemption {
                reason: reason.value.0.0,
                until: until.map(|until| until.0.0),
            }
            .into(),
        })
    };
    items.into_iter().enumerate().map(rule).collect()
}

/// What a rule is for. One that is for everybody has to say so: `user_names: ["*"]`.
fn matcher<T>(
    fields: MatcherFields,
    beside: &Spanned<T>,
    field: impl Fn() -> String,
) -> Result<Matcher, YamlError> {
    let MatcherFields {
        account_ids,
        account_names,
        user_names,
        paths,
        tags,
    } = fields;
    let tags = tags.into_iter().flat_map(|tags| tags.0);
    let matcher = Matcher {
        account_ids: list(account_ids),
        account_names: list(account_names),
        user_names: list(user_names).into_iter().map(|name| name.0).collect(),
        paths: list(paths).into_iter().map(|path| path.0).collect(),
        tags: tags
            .map(|(key, values)| TagMatcher {
                key: key.0,
                values: list(Some(values)),
            })
            .collect(),
    };
    if matcher == Matcher::default() {
        return Err(YamlError::at(
            beside,
            field(),
            "must have at least one of account_ids, account_names, user_names, paths and tags; \
             user_names: [\"*\"] is everybody",
        ));
    }
    Ok(matcher)
}

fn list<T>(items: Option<NonEmpty<Text<T>>>) -> Vec<T> {
    let items = items.into_iter().flat_map(|items| items.0);
    items.map(|item| item.0).collect()
}
