//! The recording rules and alerts that the binary carries, for Prometheus and for its operator.
//!
//! There is one source, `deploy/prometheus/rules.yml`. The manifest for Kubernetes is that file, comments and all,
//! indented under a header: YAML needs no more, so nothing has to parse and rewrite it.

use std::{
    borrow::Cow,
    io::{self, Write},
};

use crate::cli::one_of;

/// `deploy/prometheus/rules.yml`, as the binary carries it.
const RULES: &str = include_str!("../deploy/prometheus/rules.yml");

/// What stands above the rules in the manifest. The Prometheus operator finds a manifest by its labels where it is
/// told to select; the name is as good as any, and stable, so that `kubectl apply` replaces what was there.
const MANIFEST: &str = "\
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: iam-key-exporter
  labels:
    app.kubernetes.io/name: iam-key-exporter
spec:
";

/// For whom the rules are printed.
#[derive(Debug, Clone, Copy, clap::Args)]
#[group(skip)]
pub struct Args {
    /// What will read the rules: prometheus (a rules file) or operator (a manifest for the operator on
    /// Kubernetes)
    #[arg(long, env = "IAM_KEY_EXPORTER_RULES_FORMAT", value_name = "FORMAT", default_value = "prometheus",
        value_parser = one_of(&Format::ALL))]
    pub format: Format,
}

/// Writes the rules to `out`.
///
/// # Errors
/// Those of `out`.
pub fn print(args: Args, out: &mut impl Write) -> io::Result<()> {
    let Args { format } = args;
    out.write_all(document(format).as_bytes())?;
    out.flush()
}

/// What reads the rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// Prometheus itself, as a file in `rule_files`.
    #[default]
    Prometheus,
    /// The Prometheus operator, as a `PrometheusRule`.
    Operator,
}

impl Format {
    /// Every format, with its name as a setting.
    pub const ALL: [(&'static str, Self); 2] = [
        ("prometheus", Self::Prometheus),
        ("operator", Self::Operator),
    ];
}

/// The rules as a YAML document, with a newline at its end.
pub fn document(format: Format) -> Cow<'static, str> {
    match format {
        Format::Prometheus => Cow::Borrowed(RULES),
        Format::Operator => Cow::Owned(manifest(RULES)),
    }
}

/// A `PrometheusRule` of the document `rules`, whose only top-level key is `groups`.
fn manifest(rules: &str) -> String {
    let mut manifest = MANIFEST.to_owned();
    for line in rules.lines() {
        // No trailing blanks: block scalars would keep them.
        if !line.is_empty() {
            manifest.push_str("  ");
            manifest.push_str(line);
        }
        manifest.push('\n');
    }
    manifest
}

#[cfg(test)]
mod tests {
    use super::*;
    use yaml_serde::Value;

    fn parse(document: &str) -> Value {
        yaml_serde::from_str(document).unwrap()
    }

    #[test]
    fn the_rules_for_prometheus_are_the_file_itself() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/prometheus/rules.yml");
        assert_eq!(
            document(Format::Prometheus),
            std::fs::read_to_string(file).unwrap()
        );
    }

    #[test]
    fn what_is_printed_is_the_document_of_the_format() {
        for (_, format) in Format::ALL {
            let mut out = Vec::new();
            print(Args { format }, &mut out).unwrap();
            assert_eq!(String::from_utf8(out).unwrap(), document(format));
        }
    }

    #[test]
    fn the_manifest_holds_the_same_groups() {
        let rules = parse(&document(Format::Prometheus));
        let manifest = parse(&document(Format::Operator));
        assert!(rules["groups"].as_sequence().unwrap().len() >= 3);
        assert_eq!(manifest["spec"], rules);
        assert_eq!(manifest["apiVersion"], "monitoring.coreos.com/v1");
        assert_eq!(manifest["kind"], "PrometheusRule");
        assert_eq!(manifest["metadata"]["name"], "iam-key-exporter");
    }

    #[test]
    fn comments_reach_the_manifest_and_no_line_ends_in_blanks() {
        let manifest = document(Format::Operator);
        assert_eq!(
            manifest.matches('#').count(),
            RULES.matches('#').count(),
            "a comment is lost"
        );
        assert!(manifest.ends_with('\n'));
        for line in manifest.lines() {
            assert_eq!(line, line.trim_end());
        }
    }

    #[test]
    fn text_in_block_scalars_is_indented_with_the_rest() {
        let rules = "groups:\n  - name: |\n      two\n        lines\n\n      more\n";
        assert_eq!(parse(&manifest(rules))["spec"], parse(rules));
    }
}
