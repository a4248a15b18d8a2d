use std::fmt::Write;
use std::io::Read as _;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Unit;
use proptest::prelude::*;

use super::*;

type Labels = Vec<(String, String)>;

fn labels(name: &str, value: &str) -> Labels {
    vec![(name.to_owned(), value.to_owned())]
}

fn user_gauge(users: &[&str]) -> Registry {
    let family = Family::<Labels, Gauge<f64, std::sync::atomic::AtomicU64>>::default();
    for user in users {
        family.get_or_create(&labels("user_name", user)).set(90.25);
    }
    let mut registry = Registry::default();
    registry.register("key_age_days", "Age of a key", family);
    registry
}

fn text(registries: &[&Registry], format: Format) -> String {
    let body = render(registries.iter().copied(), format, Encoding::Identity).unwrap();
    let len = body.chunks().iter().map(|c| c.len() as u64).sum::<u64>();
    assert_eq!(body.len(), Some(len));
    String::from_utf8(body.chunks().concat()).unwrap()
}

fn all_types() -> Registry {
    let mut registry = Registry::default();
    let refreshes = Counter::<u64>::default();
    refreshes.inc();
    registry.register("refreshes", "Refreshes tried", refreshes);
    registry.register("build", "What runs", Info::new(vec![("version", "1")]));
    let duration = Histogram::new([0.5, 1.0]);
    duration.observe(0.75);
    registry.register_with_unit("refresh_duration", "Time taken", Unit::Seconds, duration);
    let users = Gauge::<i64>::default();
    users.set(3);
    registry.register("users", "IAM users", users);
    registry
}

#[test]
fn open_metrics_comes_out_as_the_library_writes_it() {
    let mut expected = String::new();
    prometheus_client::encoding::text::encode(&mut expected, &all_types()).unwrap();
    assert_eq!(text(&[&all_types()], Format::OpenMetrics), expected);
    assert!(expected.ends_with("# EOF\n"));
}

#[test]
fn text_names_and_types_families_as_prometheus_0_0_4_does() {
    assert_eq!(
        text(&[&all_types()], Format::Text),
        "# HELP refreshes_total Refreshes tried.\n\
         # TYPE refreshes_total counter\n\
         refreshes_total 1\n\
         # HELP build_info What runs.\n\
         # TYPE build_info gauge\n\
         build_info{version=\"1\"} 1\n\
         # HELP refresh_duration_seconds Time taken.\n\
         # TYPE refresh_duration_seconds histogram\n\
         refresh_duration_seconds_sum 0.75\n\
         refresh_duration_seconds_count 1\n\
         refresh_duration_seconds_bucket{le=\"0.5\"} 0\n\
         refresh_duration_seconds_bucket{le=\"1.0\"} 1\n\
         refresh_duration_seconds_bucket{le=\"+Inf\"} 1\n\
         # HELP users IAM users.\n\
         # TYPE users gauge\n\
         users 3\n"
    );
}

#[test]
fn registries_follow_one_another_and_end_once() {
    let (first, second) = (user_gauge(&["ada"]), all_types());
    let both = text(&[&first, &second], Format::OpenMetrics);
    assert!(both.starts_with("# HELP key_age_days Age of a key.\n"));
    assert!(both.contains("\n# HELP users IAM users.\n"));
    assert_eq!(both.matches("# EOF\n").count(), 1);
    assert_eq!(text(&[], Format::OpenMetrics), "# EOF\n");
    assert_eq!(text(&[], Format::Text), "");
}

/// A collector that describes one unknown family with the HELP given, as it stands.
#[derive(Debug)]
struct Described(&'static str);

impl Collector for Described {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let metric = encoder.encode_descriptor("thing", self.0, None, MetricType::Unknown)?;
        ConstGauge::new(7).encode(metric)
    }
}

#[test]
fn help_is_escaped_as_each_format_asks() {
    let table = [
        (r#"say "a\b""#, r#"say \"a\\b\""#, r#"say "a\\b""#),
        ("two\nlines", r"two\nlines", r"two\nlines"),
        (
            "# TYPE thing gauge\n# EOF",
            r"# TYPE thing gauge\n# EOF",
            r"# TYPE thing gauge\n# EOF",
        ),
        (
            "ends in a newline\n",
            "ends in a newline",
            "ends in a newline",
        ),
        ("\n", "", ""),
        ("", "", ""),
        ("  spaced  ", "  spaced  ", "  spaced  "),
        ("Größe → ∞", "Größe → ∞", "Größe → ∞"),
    ];
    for (help, open_metrics, plain) in table {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Described(help)));
        assert_eq!(
            text(&[&registry], Format::OpenMetrics),
            format!("# HELP thing {open_metrics}\n# TYPE thing unknown\nthing 7\n# EOF\n"),
            "{help:?}"
        );
        assert_eq!(
            text(&[&registry], Format::Text),
            format!("# HELP thing {plain}\n# TYPE thing untyped\nthing 7\n"),
            "{help:?}"
        );
    }
}

#[test]
fn label_values_that_look_like_syntax_stay_values() {
    let hostile = "x\"} 1\n# EOF\n# TYPE y counter\\";
    for format in [Format::OpenMetrics, Format::Text] {
        let rendered = text(&[&user_gauge(&[hostile])], format);
        let sample = "key_age_days{user_name=\"x\\\"} 1\\n# EOF\\n# TYPE y counter\\\\\"} 90.25";
        assert_eq!(rendered.lines().nth(2), Some(sample), "{format:?}");
    }
}

#[test]
fn content_types_are_exact() {
    assert_eq!(
        Format::OpenMetrics.content_type(),
        "application/openmetrics-text; version=1.0.0; charset=utf-8"
    );
    assert_eq!(
        Format::Text.content_type(),
        "text/plain; version=0.0.4; charset=utf-8"
    );
}

/// Records the pieces that the library writes.
#[derive(Default)]
struct Pieces(Vec<String>);

impl Write for Pieces {
    fn write_str(&mut self, piece: &str) -> fmt::Result {
        self.0.push(piece.to_owned());
        Ok(())
    }
}

/// The writer looks for newlines at the end of pieces only; an upgrade of `prometheus-client` that breaks
/// the habit must not pass.
#[test]
fn the_library_ends_lines_where_pieces_end() {
    let mut pieces = Pieces::default();
    let hostile = user_gauge(&["a\nb", "\n", "c\n"]);
    for registry in [&hostile, &all_types()] {
        encode_registry(&mut pieces, registry).unwrap();
    }
    encode_eof(&mut pieces).unwrap();
    assert!(pieces.0.len() > 100);
    for piece in pieces.0 {
        let newline = piece.find('\n');
        assert!(newline.is_none_or(|at| at + 1 == piece.len()), "{piece:?}");
    }
}

/// More than one chunk of gauges, and counters among them.
#[derive(Debug)]
struct Many(u32);

impl Collector for Many {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let mut metric = encoder.encode_descriptor("age", "Ages.", None, MetricType::Gauge)?;
        for n in 0..self.0 {
            let labels = [("user_name", format!("user-{n}"))];
            ConstGauge::new(f64::from(n) / 7.0).encode(metric.encode_family(&labels)?)?;
        }
        let mut metric = encoder.encode_descriptor("calls", "Calls.", None, MetricType::Counter)?;
        ConstCounter::new(1_u64).encode(metric.encode_family(&[("operation", "ListUsers")])?)
    }
}

#[test]
fn a_large_body_is_cut_into_chunks_and_gzip_gives_back_the_same() {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Many(20_000)));
    for format in [Format::OpenMetrics, Format::Text] {
        let plain = render([&registry], format, Encoding::Identity).unwrap();
        assert!(plain.chunks().len() > 3);
        assert!(plain.chunks().iter().all(|chunk| !chunk.is_empty()));
        let plain = plain.chunks().concat();

        let packed = render([&registry], format, Encoding::Gzip).unwrap();
        assert!(packed.len().unwrap() < plain.len() as u64 / 3);
        let mut unpacked = Vec::new();
        flate2::read::GzDecoder::new(&packed.chunks().concat()[..])
            .read_to_end(&mut unpacked)
            .unwrap();
        assert_eq!(unpacked, plain);
        let lines = String::from_utf8(unpacked).unwrap().lines().count();
        assert_eq!(
            lines,
            if format == Format::Text {
                20_005
            } else {
                20_006
            }
        );
    }
}

/// Reads the quoted value at the start of `rest`, undoing the escapes both formats define.
fn unescape(rest: &str) -> String {
    let mut value = String::new();
    let mut chars = rest.chars();
    loop {
        match chars.next().unwrap() {
            '"' => return value,
            '\\' => value.push(match chars.next().unwrap() {
                'n' => '\n',
                other => other,
            }),
            other => value.push(other),
        }
    }
}

proptest! {
    #[test]
    fn any_label_value_survives_in_either_format(value in any::<String>()) {
        for format in [Format::OpenMetrics, Format::Text] {
            let rendered = text(&[&user_gauge(&[&value])], format);
            let lines: Vec<_> = rendered.split_terminator('\n').collect();
            prop_assert_eq!(lines.len(), if format == Format::Text { 3 } else { 4 });
            let quoted = lines[2].strip_prefix("key_age_days{user_name=\"").unwrap();
            prop_assert_eq!(quoted.rfind("\"} 90.25"), Some(quoted.len() - 8));
            prop_assert_eq!(unescape(quoted), value.as_str());
        }
    }

    #[test]
    fn any_help_is_one_line(help in "\\PC*(\n\\PC*){0,3}[^\n]") {
        let mut registry = Registry::default();
        registry.register("thing", help, Gauge::<i64>::default());
        prop_assert_eq!(text(&[&registry], Format::Text).split_terminator('\n').count(), 3);
        prop_assert_eq!(text(&[&registry], Format::OpenMetrics).split_terminator('\n').count(), 4);
    }
}
