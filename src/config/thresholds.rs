//! The thresholds, from flags or from the file: each in one place only.

use chrono::TimeDelta;

use super::file::PolicyFields;
use crate::{
    cli::PolicyArgs,
    policy::Thresholds,
    yaml::{Spanned, YamlError},
};

/// The thresholds that both together give. A setting that both have is an error: one of the two
/// would have no effect, and nobody could tell by looking at either.
pub(super) fn merged(file: &PolicyFields, flags: PolicyArgs) -> Result<Thresholds, YamlError> {
    let PolicyArgs {
        max_age_days,
        boundary,
        settle_days,
        unused_days,
        warn_days,
    } = flags;
    let days = |days: u32| TimeDelta::days(days.into());
    let default = Thresholds::default();
    let max_age = one(
        "max-age-days",
        max_age_days.map(days),
        "max_age_days",
        file.max_age_days.as_ref(),
    )?;
    let warn = one(
        "warn-days",
        warn_days.map(days),
        "warn_before_days",
        file.warn_before_days.as_ref(),
    )?;
    let settle = one(
        "settle-days",
        settle_days.map(days),
        "settle_days",
        file.settle_days.as_ref(),
    )?;
    let unused = one(
        "unused-days",
        unused_days.map(days),
        "unused_days",
        file.unused_days.as_ref(),
    )?;
    let in_file = file.boundary.as_ref();
    if let (Some(_), Some(given)) = (boundary, in_file) {
        return Err(twice("boundary", "boundary", given));
    }
    let boundary = boundary.or(in_file.map(|given| given.value.0.0));
    let settle = settle.unwrap_or(default.settle);
    Ok(Thresholds {
        max_age: max_age.unwrap_or(default.max_age),
        boundary: boundary.unwrap_or(default.boundary),
        settle,
        // A key that hasn't settled yet must not count as dormant, or it would be taken away in use.
        unused: unused.unwrap_or(default.unused).max(settle),
        warn: warn.unwrap_or(default.warn),
    })
}

fn one<T: Copy + Into<TimeDelta>>(
    flag: &str,
    by_flag: Option<TimeDelta>,
    field: &str,
    in_file: Option<&Spanned<T>>,
) -> Result<Option<TimeDelta>, YamlError> {
    match (by_flag, in_file) {
        (Some(_), Some(given)) => Err(twice(flag, field, given)),
        (Some(days), None) => Ok(Some(days)),
        (None, in_file) => Ok(in_file.map(|given| given.value.into())),
    }
}

fn twice<T>(flag: &str, field: &str, given: &Spanned<T>) -> YamlError {
    let variable = flag.replace('-', "_").to_uppercase();
    YamlError::at(
        given,
        format!("policy.{field}"),
        format_args!(
            "given here and by --policy.{flag} or IAM_KEY_EXPORTER_POLICY_{variable} too; only one place is allowed"
        ),
    )
}
