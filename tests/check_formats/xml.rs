//! Test results in XML: well-formed, with the elements and attributes of their schemas, and with
//! counts that are those of the test cases.

use std::collections::{BTreeMap, HashSet};

use chrono::NaiveDateTime;
use iam_key_exporter::check::{format::Format, report::Report};
use quick_xml::{Reader, events::Event};

use crate::made::{LAYOUT, written};

/// An element with its attributes, its children and its own text.
#[derive(Debug, Default)]
pub(crate) struct Element {
    pub(crate) name: String,
    pub(crate) attributes: BTreeMap<String, String>,
    pub(crate) children: Vec<Element>,
    pub(crate) text: String,
}

impl Element {
    pub(crate) fn attribute(&self, name: &str) -> &str {
        self.attributes
            .get(name)
            .unwrap_or_else(|| panic!("{} has no {name}: {:?}", self.name, self.attributes))
    }

    fn number(&self, name: &str) -> usize {
        self.attribute(name).parse().unwrap()
    }

    fn only(&self, name: &str) -> &Element {
        let found: Vec<_> = self.all(name).collect();
        let [only] = found[..] else {
            panic!("{} has {} of {name}", self.name, found.len())
        };
        only
    }

    pub(crate) fn all(&self, name: &str) -> impl Iterator<Item = &Element> {
        self.children.iter().filter(move |child| child.name == name)
    }

    fn names(&self) -> Vec<&str> {
        self.children
            .iter()
            .map(|child| child.name.as_str())
            .collect()
    }
}

/// The root element. Panics unless the document is well-formed and holds only what XML 1.0 may hold.
pub(crate) fn parsed(text: &str) -> Element {
    let is_allowed = |character: char| matches!(character, '\t' | '\n' | '\r' | ' '..='\u{D7FF}' | '\u{E000}'..='\u{FFFD}' | '\u{10000}'..);
    assert!(text.chars().all(is_allowed));
    assert!(text.starts_with("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"));
    let mut reader = Reader::from_str(text);
    reader.config_mut().check_end_names = true;
    let mut open = vec![Element::default()];
    loop {
        match reader.read_event().unwrap() {
            Event::Start(tag) => open.push(element(&tag)),
            Event::Empty(tag) => {
                let child = element(&tag);
                open.last_mut().unwrap().children.push(child);
            }
            Event::End(_) => {
                let closed = open.pop().unwrap();
                open.last_mut().unwrap().children.push(closed);
            }
            Event::Text(more) => {
                let more: &str = &more;
                assert!(!more.contains("]]>"));
                open.last_mut().unwrap().text.push_str(more);
            }
            Event::GeneralRef(reference) => {
                let name: &str = &reference;
                let unescaped = quick_xml::escape::unescape(&format!("&{name};"))
                    .unwrap()
                    .into_owned();
                open.last_mut().unwrap().text.push_str(&unescaped);
            }
            Event::Eof => break,
            Event::Decl(_) => {}
            other => panic!("nothing else is written: {other:?}"),
        }
    }
    let mut document = open.pop().unwrap();
    assert!(open.is_empty(), "every element is closed");
    assert_eq!(document.children.len(), 1);
    document.children.remove(0)
}

fn element(tag: &quick_xml::events::BytesStart<'_>) -> Element {
    let attributes = tag.attributes().map(|attribute| {
        let attribute = attribute.unwrap();
        let value: &str = &attribute.value;
        assert!(!value.contains('<'));
        let value = quick_xml::escape::unescape(value).unwrap();
        (attribute.key.as_ref().to_owned(), value.into_owned())
    });
    Element {
        name: tag.name().as_ref().to_owned(),
        attributes: attributes.collect(),
        ..Element::default()
    }
}

fn assert_attributes(element: &Element, required: &[&str], optional: &[&str]) {
    for name in required {
        element.attribute(name);
    }
    for name in element.attributes.keys() {
        assert!(
            required.contains(&name.as_str()) || optional.contains(&name.as_str()),
            "{} must not have {name}",
            element.name
        );
    }
}

/// The schema of Jenkins' xUnit plug-in, `junit-10.xsd`.
pub(crate) fn assert_junit(report: &Report) {
    let suites = parsed(&written(report, Format::Junit, LAYOUT));
    assert_eq!(suites.name, "testsuites");
    let counts = ["tests", "failures", "errors"];
    assert_attributes(
        &suites,
        &[],
        &["name", "time", "tests", "failures", "disabled", "errors"],
    );
    let suite = suites.only("testsuite");
    assert_attributes(
        suite,
        &["name", "tests"],
        &[
            "failures",
            "errors",
            "time",
            "disabled",
            "skipped",
            "timestamp",
            "hostname",
            "id",
            "package",
        ],
    );
    for count in counts {
        assert_eq!(suites.number(count), suite.number(count));
    }
    NaiveDateTime::parse_from_str(suite.attribute("timestamp"), "%Y-%m-%dT%H:%M:%S").unwrap();
    for name in suite.names() {
        assert!(["properties", "testcase"].contains(&name), "{name}");
    }
    let cases: Vec<_> = suite.all("testcase").collect();
    let holding = |name| {
        cases
            .iter()
            .filter(|case| case.all(name).count() > 0)
            .count()
    };
    assert_eq!(suite.number("tests"), cases.len());
    assert_eq!(suite.number("failures"), holding("failure"));
    assert_eq!(suite.number("errors"), holding("error"));
    assert_eq!(suite.number("skipped"), holding("skipped"));
    assert_eq!(cases.len(), report.rows.len());
    for (case, row) in cases.iter().zip(&report.rows) {
        assert_attributes(
            case,
            &["name", "classname"],
            &["assertions", "time", "status"],
        );
        let expected = match row.status.as_str() {
            "alarm" => "failure",
            "error" => "error",
            "skip" => "skipped",
            _ => "system-out",
        };
        let outcome = case.only(expected);
        assert_eq!(case.children.len(), 1);
        assert_attributes(outcome, &[], &["message", "type"]);
    }
}

/// The documentation of `NUnit`, "Test Result XML Format".
pub(crate) fn assert_nunit(report: &Report) {
    let run = parsed(&written(report, Format::Nunit3, LAYOUT));
    assert_eq!(run.name, "test-run");
    let results = ["Passed", "Failed", "Inconclusive", "Skipped"];
    let counts = [
        "testcasecount",
        "total",
        "passed",
        "failed",
        "inconclusive",
        "skipped",
        "asserts",
    ];
    let suite = run.only("test-suite");
    for element in [&run, suite] {
        let required = [
            "id",
            "name",
            "fullname",
            "runstate",
            "result",
            "start-time",
            "end-time",
            "duration",
        ];
        for name in required.iter().chain(&counts) {
            element.attribute(name);
        }
        assert!(results.contains(&element.attribute("result")));
        for count in counts {
            assert_eq!(element.number(count), run.number(count));
        }
        time(element, "start-time");
        time(element, "end-time");
    }
    for name in ["engine-version", "clr-version"] {
        run.attribute(name);
    }
    for name in suite.names() {
        assert!(
            ["properties", "failure", "test-case"].contains(&name),
            "{name}"
        );
    }
    let cases: Vec<_> = suite.all("test-case").collect();
    assert_eq!(cases.len(), report.rows.len());
    assert_eq!(run.number("testcasecount"), cases.len());
    let with = |result: &str| {
        cases
            .iter()
            .filter(|case| case.attribute("result") == result)
            .count()
    };
    assert_eq!(run.number("passed"), with("Passed"));
    assert_eq!(run.number("failed"), with("Failed"));
    assert_eq!(run.number("skipped"), with("Skipped"));
    let mut ids = HashSet::from([run.attribute("id"), suite.attribute("id")]);
    assert_eq!(ids.len(), 2);
    for case in cases {
        let required = [
            "id",
            "name",
            "fullname",
            "runstate",
            "result",
            "start-time",
            "end-time",
            "duration",
            "asserts",
        ];
        assert_attributes(case, &required, &["classname", "label"]);
        assert!(ids.insert(case.attribute("id")));
        let outcome = match case.attribute("result") {
            "Failed" => case.only("failure"),
            _ => case.only("reason"),
        };
        assert!(!outcome.only("message").text.is_empty());
        case.only("properties");
    }
}

fn time(element: &Element, name: &str) {
    NaiveDateTime::parse_from_str(element.attribute(name), "%Y-%m-%d %H:%M:%SZ").unwrap();
}
