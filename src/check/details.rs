//! The dimensions of a row: the control's own and those of `--details`.

use chrono::{DateTime, SecondsFormat, Utc};

/// What `--details` adds to a row's dimensions; empty where it doesn't apply.
#[derive(Default)]
pub(super) struct Details {
    pub(super) account_name: String,
    pub(super) user_name: String,
    pub(super) access_key_id: String,
    pub(super) created: String,
    pub(super) age_days: String,
    pub(super) due: String,
    pub(super) last_used: String,
    pub(super) last_used_service: String,
    pub(super) last_used_region: String,
    pub(super) rotation_step: String,
}

/// A row's dimensions: the control's and, if they are `wanted`, the details.
pub(super) fn dimensions(
    account: String,
    wanted: bool,
    details: impl FnOnce() -> Details,
) -> Vec<(&'static str, String)> {
    let mut dimensions = vec![("account_id", account)];
    if wanted {
        let Details {
            account_name,
            user_name,
            access_key_id,
            created,
            age_days,
            due,
            last_used,
            last_used_service,
            last_used_region,
            rotation_step,
        } = details();
        dimensions.extend([
            ("account_name", account_name),
            ("user_name", user_name),
            ("access_key_id", access_key_id),
            ("created", created),
            ("age_days", age_days),
            ("due", due),
            ("last_used", last_used),
            ("last_used_service", last_used_service),
            ("last_used_region", last_used_region),
            ("rotation_step", rotation_step),
        ]);
    }
    dimensions
}

/// The keys of each row's dimensions, in order.
pub(super) fn dimension_keys(details: bool) -> Vec<&'static str> {
    dimensions(String::new(), details, Details::default)
        .into_iter()
        .map(|(key, _)| key)
        .collect()
}

pub(super) fn timestamp(instant: DateTime<Utc>) -> String {
    instant.to_rfc3339_opts(SecondsFormat::Secs, true)
}
