//! Strict YAML for the configuration files.
//!
//! A duplicate key, a second document or a merge key is an error, and so are unknown fields where a
//! type says `deny_unknown_fields`. Every error is one line: where it is, which field, what is wrong
//! and what would be right. A value is never shown, for it may be a secret.

use std::{
    borrow::Cow,
    fmt::{self, Write as _},
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use serde::{Deserialize as _, de::DeserializeOwned};
use serde_path_to_error::{Deserializer, Path as FieldPath, Segment, Track};
use serde_saphyr::{
    DuplicateKeyPolicy, Error as SaphyrError, Location, MergeKeyPolicy, MessageFormatter as _,
    Options, UserMessageFormatter, with_deserializer_from_str_with_options,
};

/// A single value that knows its place in the file, for checks that need the whole; see [`YamlError::at`].
pub use serde_saphyr::Spanned;

use crate::visible::visible;

/// The longest file that is read, in bytes: a hundred thousand rules fit in.
pub const MAX_FILE_BYTES: u64 = 16 * 1024 * 1024;

/// How much of a name from the file an error shows.
const SHOWN_CHARACTERS: usize = 64;

/// What is wrong with a text, in one line without the text's own values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct YamlError {
    /// Line and column, from 1.
    place: Option<(u64, u64)>,
    /// Where it is in the structure, such as `rules[2].match.user`; empty at the top.
    field: String,
    message: String,
}

impl YamlError {
    /// An error found after parsing, in the field named `field`, which `value` holds.
    ///
    /// What `message` quotes is the caller's to choose: never a secret.
    pub fn at<T>(value: &Spanned<T>, field: impl Into<String>, message: impl fmt::Display) -> Self {
        Self::new(place(value.referenced), &field.into(), &message.to_string())
    }

    /// An error found after parsing that has no one place.
    pub fn of(field: impl Into<String>, message: impl fmt::Display) -> Self {
        Self::new(None, &field.into(), &message.to_string())
    }

    /// Line and column, both from 1.
    pub fn place(&self) -> Option<(u64, u64)> {
        self.place
    }

    fn new(place: Option<(u64, u64)>, field: &str, message: &str) -> Self {
        Self {
            place,
            field: one_line(field),
            message: one_line(message),
        }
    }
}

impl fmt::Display for YamlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((line, column)) = self.place {
            write!(f, "{line}:{column}: ")?;
        }
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        f.write_str(&self.message)
    }
}

impl std::error::Error for YamlError {}

/// Why a file gives no value.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It can't be read.
    #[error("{} cannot be read", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is longer than any configuration.
    #[error("{} is longer than {MAX_FILE_BYTES} bytes", .path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
    },
    /// It isn't text.
    #[error("{} is not UTF-8", .path.display())]
    NotText {
        /// The file.
        path: PathBuf,
    },
    /// Its content is wrong: `FILE:LINE:COLUMN: field: what is wrong; what is allowed`.
    #[error("{}{}{error}", .path.display(), if error.place().is_some() { ":" } else { ": " })]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        error: YamlError,
    },
}

/// Reads a file. An empty one, or one of comments only, is the default value.
pub fn load<T: DeserializeOwned + Default>(path: &Path) -> Result<T, FileError> {
    let text = read(path)?;
    parse(&text).map_err(|error| FileError::Content {
        path: path.to_owned(),
        error,
    })
}

/// Reads a file's text.
pub fn read(path: &Path) -> Result<String, FileError> {
    let failed = |source| FileError::Read {
        path: path.to_owned(),
        source,
    };
    let mut bytes = Vec::new();
    File::open(path)
        .map_err(failed)?
        .take(MAX_FILE_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(FileError::TooLong {
            path: path.to_owned(),
        });
    }
    String::from_utf8(bytes).map_err(|_| FileError::NotText {
        path: path.to_owned(),
    })
}

/// Reads a text. An empty one, or one of comments only, is the default value.
pub fn parse<T: DeserializeOwned + Default>(text: &str) -> Result<T, YamlError> {
    let mut track = Track::new();
    let value = with_deserializer_from_str_with_options(text, options(), |deserializer| {
        Option::<T>::deserialize(Deserializer::new(deserializer, &mut track))
    });
    value
        .map(Option::unwrap_or_default)
        .map_err(|error| explain(&error, &track.path(), text))
}

fn options() -> Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            // One more than is allowed, for the error to say so.
            max_documents: 2,
            max_depth: 32,
            max_anchors: 100,
            max_aliases: 1_000,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: 100_000,
            max_replay_stack_depth: 4,
        },
        duplicate_keys: DuplicateKeyPolicy::Error,
        merge_keys: MergeKeyPolicy::Error,
        reject_unsupported_tags: true,
        // A snippet would show what stands in the file.
        with_snippet: false,
    }
}

fn place(location: Location) -> Option<(u64, u64)> {
    (location != Location::UNKNOWN).then(|| (location.line(), location.column()))
}

fn explain(error: &SaphyrError, path: &FieldPath, text: &str) -> YamlError {
    let place = error.location().and_then(place);
    let line = place.and_then(|(line, _)| text.lines().nth(usize::try_from(line).ok()? - 1));
    let mut field = name(path);
    // `Spanned` is a structure to serde, with a field of its own for the value.
    if !line.is_some_and(|line| line.contains("value:")) {
        field = field.replace(".value", "");
    }
    YamlError::new(place, &field, &message(error))
}

/// The path as it would be written down: `rules[2].match.user`.
fn name(path: &FieldPath) -> String {
    let mut name = String::new();
    for segment in path {
        match segment {
            Segment::Seq { index } => write!(name, "[{index}]").expect("a String takes anything"),
            Segment::Map { key: part } | Segment::Enum { variant: part } => {
                if !name.is_empty() {
                    name.push('.');
                }
                name.push_str(&cut(part));
            }
            Segment::Unknown => {}
        }
    }
    name
}

/// What is wrong, without the values that the library's own text would show.
fn message(error: &SaphyrError) -> String {
    match error {
        SaphyrError::AliasError { error, .. } => message(error),
        SaphyrError::MultipleDocuments { .. } => "only one document is allowed".into(),
        SaphyrError::MergeKeyNotAllowed { .. } => "merge keys (<<) are not allowed".into(),
        SaphyrError::DuplicateMappingKey { key: Some(key), .. } => {
            format!("{} is given twice", shown(key))
        }
        SaphyrError::DuplicateMappingKey { key: None, .. } => "a key is given twice".into(),
        // The path names the field.
        SaphyrError::SerdeUnknownField { expected, .. } => {
            format!("unknown field{}", allowed(expected))
        }
        SaphyrError::SerdeUnknownVariant {
            variant, expected, ..
        } => format!("{} is not known{}", shown(variant), allowed(expected)),
        SaphyrError::SerdeMissingField { field, .. } => format!("{field} is missing"),
        SaphyrError::SerdeInvalidType {
            unexpected,
            expected,
            ..
        }
        | SaphyrError::SerdeInvalidValue {
            unexpected,
            expected,
            ..
        } => format!("must be {expected}, not {}", kind(unexpected)),
        SaphyrError::InvalidScalar { ty, .. } => format!("must be {}", wanted(ty)),
        SaphyrError::Unexpected { expected, .. } => format!("must be {}", wanted(expected)),
        SaphyrError::NonFiniteFloat { .. } => "not a finite number".into(),
        // A secret without quotes that begins with `!` is a tag to YAML.
        SaphyrError::UnsupportedTag { .. }
        | SaphyrError::TaggedStructFieldName { .. }
        | SaphyrError::TaggedEnumMismatch { .. } => {
            "tags are not allowed; quote a text that begins with !".into()
        }
        SaphyrError::QuotingRequired { .. } => "a text that must be quoted".into(),
        SaphyrError::Eof { .. } => "the file ends too early".into(),
        SaphyrError::Budget { .. }
        | SaphyrError::AliasReplayCounterOverflow { .. }
        | SaphyrError::AliasReplayLimitExceeded { .. }
        | SaphyrError::AliasExpansionLimitExceeded { .. }
        | SaphyrError::AliasReplayStackDepthExceeded { .. } => {
            "too many or too deeply nested values, anchors or aliases".into()
        }
        // What is left has no values in it, save for what a type's own parser quotes.
        other => UserMessageFormatter.format_message(other).into_owned(),
    }
}

/// `string "secret"` is only a string. The library's words for each kind have no quotation marks.
fn kind(unexpected: &str) -> &str {
    unexpected
        .split(['"', '`'])
        .next()
        .unwrap_or_default()
        .trim()
}

/// What would be right, in words that need no knowledge of Rust or of parsers.
fn wanted(expected: &str) -> &str {
    match expected {
        "string scalar" => "a single value",
        "sequence start" => "a list",
        "mapping start" => "a mapping",
        "boolean" => "true or false",
        "u16" => "a whole number from 0 to 65535",
        "u32" => "a whole number from 0 to 4294967295",
        "u64" => "a whole number from 0 to 18446744073709551615",
        "floating point" => "a number",
        other => other,
    }
}

fn allowed(names: &[&str]) -> String {
    if names.is_empty() {
        return "; nothing is allowed here".into();
    }
    format!("; allowed: {}", names.join(", "))
}

fn shown(name: &str) -> String {
    format!("\"{}\"", cut(name))
}

/// A name from the file, cut short: a key put in the wrong place could be of any length.
/// It isn't shown at all if it looks like a hash or a key.
pub(crate) fn cut(name: &str) -> Cow<'_, str> {
    if name.starts_with("$2") || name.contains("-----BEGIN") {
        return "…".into();
    }
    match name.char_indices().nth(SHOWN_CHARACTERS) {
        Some((end, _)) => format!("{}…", &name[..end]).into(),
        None => name.into(),
    }
}

fn one_line(text: &str) -> String {
    visible(text.trim()).into_owned()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields, default)]
    struct File {
        name: Option<String>,
        count: Option<u32>,
        kind: Option<Kind>,
        rules: Vec<Rule>,
        users: BTreeMap<String, String>,
        on: bool,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Kind {
        Good,
        Bad,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Rule {
        days: Spanned<u32>,
        #[serde(default)]
        limit: Option<Limit>,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(try_from = "String")]
    struct Limit(u32);

    impl TryFrom<String> for Limit {
        type Error = String;

        fn try_from(text: String) -> Result<Self, String> {
            text.parse()
                .map(Self)
                .map_err(|_| "a limit is a number of days".into())
        }
    }

    fn error(text: &str) -> String {
        parse::<File>(text).unwrap_err().to_string()
    }

    #[test]
    fn nothing_is_the_default() {
        for text in [
            "",
            "\n",
            "# a comment\n",
            "---\n",
            "null\n",
            "{}\n",
            "\u{feff}",
        ] {
            assert_eq!(parse::<File>(text).unwrap(), File::default(), "{text:?}");
        }
    }

    #[test]
    fn values_and_their_places() {
        let file: File =
            parse("name: 012345678901\nrules:\n  - days: 30\n    limit: \"7\"\n").unwrap();
        assert_eq!(file.name.as_deref(), Some("012345678901"));
        assert_eq!(file.rules[0].limit, Some(Limit(7)));
        let error = YamlError::at(&file.rules[0].days, "rules[0].days", "too\nmany");
        assert_eq!(error.place(), Some((3, 11)));
        assert_eq!(error.to_string(), "3:11: rules[0].days: too\\u{a}many");
    }

    #[test]
    fn errors_say_where_and_what_is_allowed() {
        let table = [
            (
                "nam: x",
                "1:1: nam: unknown field; allowed: name, count, kind, rules, users, on",
            ),
            (
                "rules:\n  - days: 3\n    hours: 4\n",
                "3:5: rules[0].hours: unknown field; allowed: days, limit",
            ),
            ("rules:\n  - limit: 4\n", "2:5: rules[0]: days is missing"),
            (
                "kind: ugly",
                "1:7: kind: \"ugly\" is not known; allowed: good, bad",
            ),
            (
                "count: many",
                "1:8: count: must be a whole number from 0 to 4294967295",
            ),
            (
                "count: -1",
                "1:8: count: must be a whole number from 0 to 4294967295",
            ),
            ("count: [1]", "1:8: count: must be a single value"),
            ("name: {a: b}", "1:7: name: must be a single value"),
            ("on: perhaps", "1:5: on: must be true or false"),
            ("rules: 3", "1:8: rules: must be a list"),
            ("users: [3]", "1:8: users: must be a mapping"),
            (
                "rules:\n  - days: three\n",
                "2:11: rules[0].days: must be a whole number from 0 to 4294967295",
            ),
            (
                "rules:\n  - days: 3\n    limit: three\n",
                "3:12: rules[0].limit: a limit is a number of days",
            ),
            ("name: a\nname: b\n", "2:1: \"name\" is given twice"),
            (
                "users:\n  alice: a\n  alice: b\n",
                "3:3: users: \"alice\" is given twice",
            ),
            (
                "users:\n  alice: [a]\n",
                "2:10: users.alice: must be a single value",
            ),
            (
                "name: a\n---\nname: b\n",
                "3:1: only one document is allowed",
            ),
            (
                "users:\n  <<: {a: b}\n",
                "2:3: users: merge keys (<<) are not allowed",
            ),
            ("name: *nobody", "1:7: reference to unknown value"),
            ("name: 'a", "1:7: unclosed quote"),
            (
                "name: a\n  b: c",
                "2:4: mapping values are not allowed in this context",
            ),
            ("- a", "1:1: must be a mapping"),
            ("just text", "1:1: must be a mapping"),
        ];
        for (text, expected) in table {
            assert_eq!(error(text), expected, "{text:?}");
        }
    }

    #[test]
    fn values_are_never_shown() {
        let secret = "hunter2-hunter2";
        for text in [
            format!("count: {secret}"),
            format!("count: \"{secret}\""),
            format!("rules: {secret}"),
            format!("rules: [{secret}]"),
            format!("rules: [{{days: {secret}}}]"),
            format!("on: {secret}"),
            format!("users: {secret}"),
            format!("users: {{a: [{secret}]}}"),
            format!("users:\n  alice: {secret}\n  alice: {secret}\n"),
            format!("users:\n  alice: {secret}: x\n"),
            format!("users:\n  alice: '{secret}\n"),
            format!("users:\n  alice: \"{secret}\\q\"\n"),
            format!("users:\n  alice: *{secret}\n"),
            format!("users:\n  alice: !{secret}\n"),
            format!("users:\n  alice: !{secret} x\n"),
            format!("kind: !{secret}\n"),
            format!("rules: !{secret} []\n"),
            format!("name: .inf\ncount: {secret}"),
            format!("name: |\n  {secret}\n {secret}\n{secret}"),
            secret.to_owned(),
        ] {
            let error = error(&text);
            assert!(!error.contains("hunter"), "{text:?} gives {error}");
            assert!(!error.contains('\n'), "{error}");
        }
    }

    #[test]
    fn a_name_is_cut_short() {
        let error = error(&format!("{}: x", "long".repeat(100)));
        assert!(error.len() < 200 && error.contains("longlong…"), "{error}");
    }

    #[test]
    fn bombs_do_not_go_off() {
        let mut laughs = "users: &a0 {lol: lol}\nrules:\n".to_owned();
        for level in 0..30 {
            let aliases = vec![format!("*a{level}"); 9].join(", ");
            writeln!(laughs, "  - &a{} [{aliases}]", level + 1).unwrap();
        }
        let nested = format!("name: {}", "[".repeat(100_000));
        for text in [&laughs, &nested] {
            let started = std::time::Instant::now();
            parse::<File>(text).unwrap_err();
            parse::<serde_json::Value>(text).unwrap_err();
            assert!(started.elapsed().as_secs() < 5);
        }
    }

    #[test]
    fn files_that_are_no_text_are_told_apart() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file.yml");
        let error = load::<File>(&path).unwrap_err();
        assert!(matches!(error, FileError::Read { .. }), "{error}");
        std::fs::write(&path, b"name: \xff").unwrap();
        let error = load::<File>(&path).unwrap_err();
        assert!(matches!(error, FileError::NotText { .. }), "{error}");
        std::fs::write(&path, "count: x").unwrap();
        let error = load::<File>(&path).unwrap_err().to_string();
        assert!(
            error.ends_with("file.yml:1:8: count: must be a whole number from 0 to 4294967295"),
            "{error}"
        );
        std::fs::write(&path, "count: 3").unwrap();
        assert_eq!(load::<File>(&path).unwrap().count, Some(3));
    }
}
