//! A strict reader of the `OpenMetrics` text that the exporter writes, so that tests see series and not
//! lines.

use std::collections::BTreeMap;

/// A whole exposition.
#[derive(Debug)]
pub(crate) struct Scrape {
    pub(crate) families: Vec<Family>,
    pub(crate) samples: Vec<Sample>,
}

/// What stands above a family's samples.
#[derive(Debug)]
pub(crate) struct Family {
    pub(crate) name: String,
    pub(crate) help: String,
    pub(crate) kind: String,
}

/// One line with a value.
#[derive(Debug)]
pub(crate) struct Sample {
    pub(crate) name: String,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) value: String,
}

impl Sample {
    pub(crate) fn label(&self, name: &str) -> Option<&str> {
        self.labels.get(name).map(String::as_str)
    }

    pub(crate) fn number(&self) -> f64 {
        self.value.parse().unwrap()
    }
}

impl Scrape {
    /// Panics on anything that isn't HELP, TYPE and samples, family by family, and `# EOF`.
    pub(crate) fn parse(text: &str) -> Self {
        let body = text.strip_suffix("# EOF\n").expect("no # EOF at the end");
        let mut scrape = Self {
            families: Vec::new(),
            samples: Vec::new(),
        };
        let mut lines = body.split_terminator('\n');
        while let Some(line) = lines.next() {
            if let Some((name, help)) = line.strip_prefix("# HELP ").map(two_words) {
                let next = lines.next().and_then(|line| line.strip_prefix("# TYPE "));
                let (named, kind) = two_words(next.expect("HELP without TYPE"));
                assert_eq!(named, name, "HELP and TYPE of different families");
                scrape.families.push(Family {
                    name: name.to_owned(),
                    help: help.to_owned(),
                    kind: kind.to_owned(),
                });
            } else {
                let family = scrape.families.last().expect("a sample without a family");
                let sample = Sample::parse(line);
                let suffix = sample.name.strip_prefix(&*family.name);
                let wanted = if family.kind == "counter" {
                    "_total"
                } else {
                    ""
                };
                assert_eq!(suffix, Some(wanted), "{} in {}", sample.name, family.name);
                scrape.samples.push(sample);
            }
        }
        scrape
    }

    /// The samples called `name` that have at least these labels.
    pub(crate) fn all<'a, 'q>(
        &'a self,
        name: &'q str,
        labels: &'q [(&'q str, &'q str)],
    ) -> impl Iterator<Item = &'a Sample> + use<'a, 'q> {
        self.samples.iter().filter(move |sample| {
            sample.name == name
                && labels
                    .iter()
                    .all(|(name, value)| sample.label(name) == Some(value))
        })
    }

    /// The one sample called `name` that has at least these labels, if there is one.
    pub(crate) fn find<'a>(&'a self, name: &str, labels: &[(&str, &str)]) -> Option<&'a Sample> {
        let mut samples = self.all(name, labels);
        let sample = samples.next();
        assert!(
            labels.is_empty() || samples.next().is_none(),
            "several samples match {name} {labels:?}"
        );
        sample
    }

    /// The value of the sample called `name` that has exactly these labels, if there is one.
    pub(crate) fn value<'a>(&'a self, name: &str, labels: &[(&str, &str)]) -> Option<&'a str> {
        self.all(name, labels)
            .find(|sample| sample.labels.len() == labels.len())
            .map(|sample| &*sample.value)
    }
}

impl Sample {
    fn parse(line: &str) -> Self {
        let end = line.find(['{', ' ']).expect("a line without a value");
        let (name, mut rest) = line.split_at(end);
        let mut labels = BTreeMap::new();
        if let Some(inner) = rest.strip_prefix('{') {
            rest = inner;
            while !rest.starts_with('}') {
                let (label, value, after) = parse_label(rest);
                let twice = labels.insert(label.to_owned(), value);
                assert_eq!(twice, None, "label {label} twice in {line:?}");
                rest = after.strip_prefix(',').unwrap_or(after);
            }
            rest = &rest[1..];
        }
        let value = rest.strip_prefix(' ').expect("no space before the value");
        value.parse::<f64>().expect("a value that is no number");
        Self {
            name: name.to_owned(),
            labels,
            value: value.to_owned(),
        }
    }
}

/// The name and value of the label that `text` begins with, and what follows it.
fn parse_label(text: &str) -> (&str, String, &str) {
    let (name, quoted) = text.split_once("=\"").expect("a label without a value");
    let legal = |c: char| c.is_ascii_alphanumeric() || c == '_';
    assert!(
        !name.is_empty() && name.chars().all(legal) && !name.starts_with(|c: char| c.is_numeric()),
        "not a label name: {name:?}"
    );
    let mut value = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (name, value, &quoted[at + 1..]),
            '\\' => value.push(match chars.next() {
                Some((_, 'n')) => '\n',
                Some((_, c @ ('\\' | '"'))) => c,
                other => panic!("bad escape {other:?} in {text:?}"),
            }),
            c => value.push(c),
        }
    }
    panic!("a label value without an end in {text:?}")
}

fn two_words(text: &str) -> (&str, &str) {
    text.split_once(' ').expect("a word is missing")
}
