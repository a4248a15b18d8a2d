//! Text from outside, made harmless for terminals and markup.
//!
//! IAM's names can't hold any of this, but a report file can hold anything.

use std::borrow::Cow;

/// The text with everything that isn't meant to be seen written out, e.g. an escape character as
/// `\u{1b}`: control characters, which drive terminals and which XML forbids, and the invisible
/// ones, which make one name look like another.
pub(crate) fn visible(text: &str) -> Cow<'_, str> {
    if !text.contains(is_unseen) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        if is_unseen(character) {
            shown.extend(character.escape_unicode());
        } else {
            shown.push(character);
        }
    }
    Cow::Owned(shown)
}

/// Whether the character drives a terminal or doesn't show.
pub(crate) fn is_unseen(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            // No-break space, fillers of Hangul, soft hyphen, zero-width characters, marks, overrides and isolates of direction,
            // line and paragraph separators, byte order mark, tags, and what is no character.
            '\u{A0}' | '\u{115F}' | '\u{1160}' | '\u{3164}' | '\u{FFA0}' | '\u{AD}' | '\u{61C}' | '\u{180E}' | '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}'
                | '\u{2060}'..='\u{206F}' | '\u{FEFF}' | '\u{FFF9}'..='\u{FFFB}'
                | '\u{FFFE}' | '\u{FFFF}' | '\u{E0000}'..='\u{E007F}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_seen_is_written_out_and_the_rest_left_alone() {
        for (text, shown) in [
            ("alice", "alice"),
            ("Zoë 東京 👩", "Zoë 東京 👩"),
            ("\u{1b}[2J", "\\u{1b}[2J"),
            ("a\r\nb\tc", "a\\u{d}\\u{a}b\\u{9}c"),
            ("\u{9b}31m", "\\u{9b}31m"),
            ("user\u{202e}nimda", "user\\u{202e}nimda"),
            ("ali\u{3164}ce\u{a0}", "ali\\u{3164}ce\\u{a0}"),
            ("ali\u{200b}ce", "ali\\u{200b}ce"),
        ] {
            assert_eq!(visible(text), shown);
        }
        assert!(matches!(visible("alice"), Cow::Borrowed(_)));
    }
}
