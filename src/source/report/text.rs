//! Whether bytes can be a CSV file, and what they are if not.

use super::ParseError;

/// The bytes as text, if they can be a CSV file at all.
pub(super) fn text(bytes: &[u8]) -> Result<&str, ParseError> {
    if bytes.starts_with(&[0xFF, 0xFE]) || bytes.starts_with(&[0xFE, 0xFF]) {
        return Err(ParseError::Utf16);
    }
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    let text = std::str::from_utf8(bytes).map_err(|error| ParseError::NotText {
        line: line_at(&bytes[..error.valid_up_to()]),
    })?;
    if let Some(nul) = text.find('\0') {
        return Err(ParseError::NotText {
            line: line_at(&bytes[..nul]),
        });
    }
    let start = text.trim_start();
    match start.as_bytes() {
        [] => Err(ParseError::Empty),
        [b'<', ..] => Err(ParseError::Html),
        [b'{' | b'[', ..] => Err(ParseError::Json),
        // "user,arn," in Base64.
        _ if start.starts_with("dXNlcixhcm4s") => Err(ParseError::Base64),
        _ => Ok(text),
    }
}

/// The line that follows `before`, the first being 1.
fn line_at(before: &[u8]) -> u64 {
    1 + newlines(before)
}

/// How many lines end in `bytes`.
pub(super) fn newlines(bytes: &[u8]) -> u64 {
    bytes.iter().map(|byte| u64::from(*byte == b'\n')).sum()
}
