//! What the fields of a row can hold.

use chrono::{DateTime, Utc};

use crate::key::ArnOwner;

/// The name that the root user's row goes by. It can't be a user's: `<` isn't allowed in one.
pub(super) const ROOT: &str = "<root_account>";

/// The texts that stand where there is no value.
pub(super) const ABSENT: [&str; 3] = ["N/A", "no_information", "not_supported"];

/// What a field of time must be.
pub(super) const A_TIME: &str = "a time such as 2024-05-31T08:00:00Z";
/// The same where a key may be absent.
pub(super) const A_TIME_OR_NONE: &str = "N/A or a time such as 2024-05-31T08:00:00Z";

/// What a field holds.
pub(super) enum Field<T> {
    Value(T),
    Absent,
    Garbled,
}

/// A time in RFC 3339, with any offset.
pub(super) fn time(field: &str) -> Field<DateTime<Utc>> {
    if ABSENT.contains(&field) {
        return Field::Absent;
    }
    DateTime::parse_from_rfc3339(field).map_or(Field::Garbled, |time| Field::Value(time.to_utc()))
}

/// The guide says TRUE, AWS writes true, a spreadsheet saves TRUE.
pub(super) fn boolean(field: &str) -> Option<bool> {
    if field.eq_ignore_ascii_case("true") {
        Some(true)
    } else if field.eq_ignore_ascii_case("false") {
        Some(false)
    } else {
        None
    }
}

/// Whether an ARN names this very user, behind any path: then both fields came through whole, even
/// if the rest of the row didn't.
pub(super) fn names(arn: &str, user: &str) -> bool {
    let is_named = if user == ROOT {
        arn.ends_with(":root")
    } else {
        !user.is_empty()
            && arn
                .strip_suffix(user)
                .is_some_and(|path| path.ends_with('/'))
    };
    is_named && arn.parse::<ArnOwner>().is_ok()
}

/// The path of the user that an ARN names, `/` where it names another or nobody.
///
/// Source: AWS IAM User Guide, "IAM ARNs" (`arn:aws:iam::ACCOUNT:user/PATH/NAME`).
pub(super) fn path<'a>(arn: &'a str, user: &str) -> &'a str {
    arn.splitn(6, ':')
        .nth(5)
        .and_then(|resource| resource.strip_prefix("user"))
        .and_then(|path_and_name| path_and_name.strip_suffix(user))
        .filter(|path| path.starts_with('/') && path.ends_with('/'))
        .unwrap_or("/")
}
