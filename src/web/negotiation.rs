//! Which format and encoding a client gets (RFC 9110, 12.5).
//!
//! A scraper is never refused: whoever asks for what isn't on offer, or asks unintelligibly, gets
//! Prometheus text, which everybody can read.

use mediatype::{MediaType, MediaTypeList, Name, ReadParams as _};

use crate::metrics::exposition::{Encoding, Format};

/// A weight from 0 (not acceptable) to 1000 (the default).
type Quality = u16;

/// The format for an `Accept` header: `OpenMetrics` only where it is named and preferred.
///
/// The most specific range that covers a format gives its weight. On a tie the one named first wins.
pub fn format(accept: Option<&str>) -> Format {
    let mut open_metrics = Best::default();
    let mut text = Best::default();
    // A range that can't be read says nothing; its neighbours still count.
    for (position, range) in MediaTypeList::new(accept.unwrap_or_default())
        .enumerate()
        .filter_map(|(position, range)| Some((position, range.ok()?)))
    {
        let Some(quality) = media_quality(&range) else {
            continue;
        };
        if let Some(specificity) = covers_open_metrics(&range) {
            open_metrics.offer(specificity, quality, position);
        }
        if let Some(specificity) = covers_text(&range) {
            text.offer(specificity, quality, position);
        }
    }
    if open_metrics.quality > 0 && open_metrics.is_preferred_to(&text) {
        Format::OpenMetrics
    } else {
        Format::Text
    }
}

/// The weight of the most specific range seen for one format.
#[derive(Default)]
struct Best {
    specificity: u8,
    quality: Quality,
    position: usize,
}

impl Best {
    fn offer(&mut self, specificity: u8, quality: Quality, position: usize) {
        if (specificity, quality) > (self.specificity, self.quality) {
            *self = Self {
                specificity,
                quality,
                position,
            };
        }
    }

    fn is_preferred_to(&self, other: &Self) -> bool {
        self.quality > other.quality
            || self.quality == other.quality && self.position < other.position
    }
}

/// How specifically a range names `OpenMetrics`. Wildcards don't: they ask for the default. Version 0.0.1
/// is the draft that 1.0.0 grew from, and its clients read 1.0.0.
fn covers_open_metrics(range: &MediaType<'_>) -> Option<u8> {
    if !is(range, "application", "openmetrics-text") {
        return None;
    }
    match version(range).as_deref() {
        Some("1.0.0") => Some(3),
        None => Some(2),
        Some("0.0.1") => Some(1),
        Some(_) => None,
    }
}

/// How specifically a range covers Prometheus text 0.0.4.
fn covers_text(range: &MediaType<'_>) -> Option<u8> {
    if is(range, "text", "plain") {
        match version(range).as_deref() {
            Some("0.0.4") => Some(4),
            None => Some(3),
            Some(_) => None,
        }
    } else if is(range, "text", "*") {
        Some(2)
    } else if is(range, "*", "*") {
        Some(1)
    } else {
        None
    }
}

fn is(range: &MediaType<'_>, kind: &str, subtype: &str) -> bool {
    range.suffix.is_none() && range.ty == kind && range.subty == subtype
}

fn version(range: &MediaType<'_>) -> Option<String> {
    const VERSION: Name<'_> = Name::new_unchecked("version");
    let version = range.get_param(VERSION)?;
    Some(version.unquoted_str().into_owned())
}

fn media_quality(range: &MediaType<'_>) -> Option<Quality> {
    const Q: Name<'_> = Name::new_unchecked("q");
    match range.get_param(Q) {
        None => Some(1000),
        Some(value) => quality(&value.unquoted_str()),
    }
}

/// Reads a weight such as `0.25`; `None` if it isn't one.
fn quality(text: &str) -> Option<Quality> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if fraction.len() > 3 || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let thousandths = format!("{fraction:0<3}").parse().ok()?;
    match (whole, thousandths) {
        ("0", thousandths) => Some(thousandths),
        ("1", 0) => Some(1000),
        _ => None,
    }
}

/// The content coding for an `Accept-Encoding` header: gzip where it is welcome and not liked less than
/// no coding at all.
pub fn encoding(accept_encoding: Option<&str>) -> Encoding {
    let mut gzip = None;
    let mut identity = None;
    let mut any = None;
    for (coding, quality) in accept_encoding
        .unwrap_or_default()
        .split(',')
        .filter_map(coding_quality)
    {
        let weight = match coding.to_ascii_lowercase().as_str() {
            "gzip" | "x-gzip" => &mut gzip,
            "identity" => &mut identity,
            "*" => &mut any,
            _ => continue,
        };
        *weight = (*weight).max(Some(quality));
    }
    // Identity unnamed is acceptable, but nobody asked for it.
    let gzip = gzip.or(any).unwrap_or(0);
    if gzip > 0 && gzip >= identity.unwrap_or(0) {
        Encoding::Gzip
    } else {
        Encoding::Identity
    }
}

/// Splits one element of `Accept-Encoding`, such as `gzip;q=0.5`; `None` if its weight can't be read.
fn coding_quality(element: &str) -> Option<(&str, Quality)> {
    let mut parts = element.split(';').map(str::trim);
    let coding = parts.next()?;
    let mut weight = 1000;
    for parameter in parts {
        if let Some((name, value)) = parameter.split_once('=')
            && name.trim().eq_ignore_ascii_case("q")
        {
            weight = quality(value.trim())?;
        }
    }
    Some((coding, weight))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PROMETHEUS_2: &str = "application/openmetrics-text;version=1.0.0,\
        application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
    const PROMETHEUS_2_49: &str = "application/openmetrics-text;version=1.0.0;q=0.5,\
        application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
    const PROMETHEUS_3: &str = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
        application/openmetrics-text;version=0.0.1;q=0.5,\
        text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
    const PROMETHEUS_3_PROTOBUF: &str = "application/vnd.google.protobuf;\
        proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.6,\
        application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,\
        application/openmetrics-text;version=0.0.1;q=0.4,\
        text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1";
    const PROMETHEUS_3_TEXT_ONLY: &str = "text/plain;version=0.0.4;q=0.5,*/*;q=0.4";
    const FIREFOX: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";

    #[test]
    fn formats() {
        use Format::{OpenMetrics, Text};
        let table = [
            (PROMETHEUS_2, OpenMetrics),
            (PROMETHEUS_2_49, OpenMetrics),
            (PROMETHEUS_3, OpenMetrics),
            (PROMETHEUS_3_PROTOBUF, OpenMetrics),
            (PROMETHEUS_3_TEXT_ONLY, Text),
            (FIREFOX, Text),
            ("", Text),
            ("*/*", Text),
            ("text/*", Text),
            ("application/*", Text),
            ("application/json", Text),
            (
                "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily",
                Text,
            ),
            ("application/openmetrics-text", OpenMetrics),
            (
                "APPLICATION/OpenMetrics-Text; VERSION=1.0.0; Q=0.1",
                OpenMetrics,
            ),
            (
                "application/openmetrics-text; version=\"1.0.0\"",
                OpenMetrics,
            ),
            ("application/openmetrics-text;version=0.0.1", OpenMetrics),
            ("application/openmetrics-text;version=2.0.0", Text),
            ("application/openmetrics-text;version=1.0.0;q=0", Text),
            (
                "application/openmetrics-text;version=1.0.0;q=0.000, text/plain;q=0",
                Text,
            ),
            ("application/openmetrics-text+xml", Text),
            ("application/openmetrics-text, */*", OpenMetrics),
            ("*/*, application/openmetrics-text", Text),
            ("*/*;q=0.9, application/openmetrics-text;q=0.8", Text),
            ("*/*;q=0.8, application/openmetrics-text;q=0.9", OpenMetrics),
            ("text/plain;q=0.9, application/openmetrics-text;q=0.9", Text),
            (
                "application/openmetrics-text;q=0.9, text/plain;q=0.9",
                OpenMetrics,
            ),
            (
                "text/plain;q=0.2, text/plain;version=0.0.4;q=0.9, application/openmetrics-text;q=0.5",
                Text,
            ),
            (
                "text/plain;version=0.0.4;q=0.2, */*;q=1, application/openmetrics-text;q=0.5",
                OpenMetrics,
            ),
            (
                "text/plain;version=1.0.0, application/openmetrics-text;q=0.1",
                OpenMetrics,
            ),
            // What can't be read doesn't count, and doesn't hide what follows.
            (",,;;==, application/openmetrics-text", OpenMetrics),
            ("application/openmetrics-text;q=high", Text),
            ("application/openmetrics-text;q=1.1", Text),
            ("application/openmetrics-text;q=-1", Text),
            ("application/openmetrics-text;version", Text),
            ("\"application/openmetrics-text", Text),
            ("application", Text),
        ];
        for (accept, expected) in table {
            assert_eq!(format(Some(accept)), expected, "{accept}");
        }
        assert_eq!(format(None), Text);
    }

    #[test]
    fn encodings() {
        use Encoding::{Gzip, Identity};
        let table = [
            ("gzip", Gzip),
            ("GZIP", Gzip),
            ("x-gzip", Gzip),
            ("gzip, deflate, br, zstd", Gzip),
            ("br;q=1.0, gzip;q=0.8, *;q=0.1", Gzip),
            ("gzip;q=0.001", Gzip),
            ("gzip ; q=1", Gzip),
            ("*", Gzip),
            ("*;q=0.5", Gzip),
            ("identity, gzip", Gzip),
            ("identity;q=0.5, gzip;q=0.5", Gzip),
            ("identity;q=0, gzip;q=0.1", Gzip),
            ("gzip, *;q=0", Gzip),
            ("", Identity),
            ("identity", Identity),
            ("br", Identity),
            ("deflate, zstd", Identity),
            ("gzip;q=0", Identity),
            ("gzip;q=0.0, *;q=1", Identity),
            ("*;q=0", Identity),
            ("identity;q=1, gzip;q=0.9", Identity),
            ("identity;q=0.6, *;q=0.5", Identity),
            ("gzip;q=yes", Identity),
            ("gzip;q=", Identity),
            ("gzip;q=1.001", Identity),
            (";q=1", Identity),
        ];
        for (accept, expected) in table {
            assert_eq!(encoding(Some(accept)), expected, "{accept}");
        }
        assert_eq!(encoding(None), Identity);
    }

    #[test]
    fn qualities() {
        let table = [
            ("0", Some(0)),
            ("1", Some(1000)),
            ("1.", Some(1000)),
            ("1.000", Some(1000)),
            ("0.5", Some(500)),
            ("0.25", Some(250)),
            ("0.001", Some(1)),
            ("0.0001", None),
            ("1.001", None),
            ("2", None),
            (".5", None),
            ("", None),
            ("+0.5", None),
            ("0.+5", None),
        ];
        for (text, expected) in table {
            assert_eq!(quality(text), expected, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn no_header_breaks_it(header in any::<String>()) {
            format(Some(&header));
            encoding(Some(&header));
        }

        #[test]
        fn no_nearly_sound_header_breaks_it(
            header in "((application|text|\\*)/(openmetrics-text|plain|\\*)?(;|=|,|q=|\"|\\\\|[0-9.]| )*){0,6}",
        ) {
            format(Some(&header));
            encoding(Some(&header));
        }

        #[test]
        fn the_higher_weight_wins(open_metrics in 0_u16..1000, text in 0_u16..1000) {
            let header = format!(
                "text/plain;q=0.{text:03}, application/openmetrics-text;q=0.{open_metrics:03}"
            );
            let expected = if open_metrics > text { Format::OpenMetrics } else { Format::Text };
            prop_assert_eq!(format(Some(&header)), expected);
        }
    }
}
