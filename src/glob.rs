//! Patterns for names: `*` is any text, also none, `?` is any one character.

use std::{fmt, str::FromStr};

use wildmatch::WildMatch;

/// A pattern that a whole name matches or doesn't. Letter case counts, as it does for IAM's tags; no
/// name or tag value in IAM may hold a `*` or `?`, so there is no way to mean one.
#[derive(Debug, Clone, PartialEq)]
pub struct Glob(WildMatch);

// The pattern is text, and texts are equal to themselves.
impl Eq for Glob {}

impl Glob {
    /// Whether the whole of `text` fits the pattern.
    pub fn matches(&self, text: &str) -> bool {
        self.0.matches(text)
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A text that can't be a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a pattern can't be empty; * matches everything")]
pub struct BadGlob;

impl FromStr for Glob {
    type Err = BadGlob;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() {
            return Err(BadGlob);
        }
        Ok(Self(WildMatch::new(text)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_matches_whole_names() {
        for (pattern, text, fits) in [
            ("ci-*", "ci-deploy", true),
            ("ci-*", "ci-", true),
            ("ci-*", "my-ci-deploy", false),
            ("*-bot", "build-bot", true),
            ("*", "", true),
            ("user?", "user1", true),
            ("user?", "user", false),
            ("user?", "userü", true),
            ("a*b*c", "aXbYc", true),
            ("a*b*c", "aXbY", false),
            ("Ci-*", "ci-deploy", false),
            ("plain", "plain", true),
            ("pl.in", "plain", false),
            ("[a-z]", "a", false),
        ] {
            let glob: Glob = pattern.parse().unwrap();
            assert_eq!(glob.matches(text), fits, "{pattern} on {text:?}");
            assert_eq!(glob.to_string(), pattern);
        }
        assert_eq!("".parse::<Glob>(), Err(BadGlob));
    }
}
