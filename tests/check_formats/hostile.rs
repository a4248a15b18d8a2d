//! Names that would break a format, were they written into it as they are.

use std::collections::HashSet;

use iam_key_exporter::{
    check::{
        format::{Format, Layout},
        report::Report,
    },
    inventory::{Exemption, Listing, User},
    reason::Reason,
};
use serde_json::Value;

use crate::{
    findings,
    made::{LAYOUT, account, key, report_of, without_colours, written},
    xml,
};

fn names() -> Vec<String> {
    let long = "n".repeat(3000);
    [
        "=HYPERLINK(\"http://evil\";\"click\")",
        "+1+cmd|' /C calc'!A0",
        "-2+3",
        "@SUM(A1)",
        "\tcell",
        "a,b;c|d",
        "quote\"quote'quote",
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "\" onmouseover=\"alert(1)",
        "]]><!--<![CDATA[&lt;&amp;&#0;",
        "a|b\\|c\\",
        "[link](javascript:alert(1)) **bold** `code` <!-- --> ![x](http://evil)",
        "@team #1 https://evil www.evil",
        "\u{1b}[2J\u{1b}]0;title\u{7}\u{1b}[31m",
        "\u{9b}31m\u{90}",
        "line\nbreak\r\nreturn\u{2028}separator\u{85}",
        "\0nul\u{8}\u{b}\u{c}\u{7f}",
        "\u{fffe}\u{ffff}\u{fdd0}",
        "user\u{202e}nimda\u{2066}\u{200b}\u{feff}",
        "東京-ユーザー👩‍👩‍👧 ñ Ω",
        " ",
        "{{7*7}} ${7*7} %s %n",
        "../../etc/passwd",
        &long,
        &format!("{long}x"),
    ]
    .map(str::to_owned)
    .to_vec()
}

/// Each name as that of a user with keys, of one who wasn't read and in an exemption's words.
fn report() -> Report {
    let mut users = Vec::new();
    for (number, name) in names().into_iter().enumerate() {
        let id = |slot: usize| format!("AKIA{number:04}{slot}{name}");
        let keys = vec![
            key(&id(0), "Active", 100),
            key(&id(1), "Active", 1),
            key(&id(2), "Inactive", 500),
        ];
        let mut exempt = User::read(format!("x{name}"), vec![key(&id(3), "Active", 300)]);
        exempt.exemption = Some(
            Exemption {
                reason: name.as_str().into(),
                until: None,
            }
            .into(),
        );
        users.push(exempt);
        users.push(User::unread(format!("u{name}"), vec![], Reason::Timeout));
        users.push(User::read(name, keys));
    }
    report_of(
        vec![account("111122223333", users, Listing::Complete)],
        None,
    )
}

#[test]
fn csv_keeps_every_name_as_it_is() {
    let report = report();
    for separator in *b",;|\t" {
        let layout = Layout {
            separator,
            ..LAYOUT
        };
        let text = written(&report, Format::Csv, layout);
        let mut table = csv::ReaderBuilder::new()
            .delimiter(separator)
            .from_reader(text.as_bytes());
        let rows: Vec<_> = table.records().map(Result::unwrap).collect();
        assert_eq!(rows.len(), report.rows.len());
        for (fields, row) in rows.iter().zip(&report.rows) {
            assert_eq!(fields.len(), 20);
            assert_eq!(&fields[6], row.reason);
            assert_eq!(&fields[7], row.resource);
            assert_eq!(&fields[8], row.status.as_str());
        }
    }
}

#[test]
fn json_keeps_every_name_as_it_is() {
    let report = report();
    let json: Value = serde_json::from_str(&written(&report, Format::Json, LAYOUT)).unwrap();
    let results = json["controls"][0]["results"].as_array().unwrap();
    assert_eq!(results.len(), report.rows.len());
    for (result, row) in results.iter().zip(&report.rows) {
        assert_eq!(result["resource"], row.resource.as_str());
        assert_eq!(result["reason"], row.reason.as_str());
    }
}

#[test]
fn findings_pass_their_schemas_and_keep_the_resource() {
    let report = report();
    findings::assert_asff(&report);
    findings::assert_ocsf(&report);
    let asff: Vec<Value> = serde_json::from_str(&written(&report, Format::Asff, LAYOUT)).unwrap();
    let ocsf: Vec<Value> = serde_json::from_str(&written(&report, Format::Ocsf, LAYOUT)).unwrap();
    for ((asff, ocsf), row) in asff.iter().zip(&ocsf).zip(&report.rows) {
        assert_eq!(asff["Resources"][0]["Id"], row.resource.as_str());
        assert_eq!(ocsf["resources"][0]["uid"], row.resource.as_str());
    }
}

#[test]
fn xml_stays_well_formed_and_tells_names_apart() {
    let report = report();
    xml::assert_junit(&report);
    xml::assert_nunit(&report);
    let suites = xml::parsed(&written(&report, Format::Junit, LAYOUT));
    let suite = suites.all("testsuite").next().unwrap();
    let shown: Vec<_> = suite
        .all("testcase")
        .map(|case| case.attribute("name"))
        .collect();
    assert_eq!(
        shown.iter().collect::<HashSet<_>>().len(),
        report.rows.len()
    );
    for (shown, row) in shown.iter().zip(&report.rows) {
        // What can be seen is shown as it is.
        if row
            .resource
            .chars()
            .all(|character| matches!(character, ' '..='~'))
        {
            assert_eq!(*shown, row.resource);
        }
    }
}

#[test]
fn html_holds_no_element_or_attribute_but_its_own() {
    let report = report();
    let page = written(&report, Format::Html, LAYOUT);
    let body = &page[page.find("<body>").unwrap()..];
    let mut rows = 0;
    for (at, _) in body.match_indices('<') {
        let tag = &body[at + 1..at + body[at..].find('>').unwrap()];
        let name = tag.trim_start_matches('/').split(' ').next().unwrap();
        assert!(
            [
                "html", "body", "main", "h1", "p", "code", "ul", "li", "b", "table", "thead",
                "tbody", "tr", "th", "td", "span"
            ]
            .contains(&name),
            "<{tag}>"
        );
        for attribute in tag.split(' ').skip(1).filter(|part| part.contains('=')) {
            let name = attribute.split('=').next().unwrap();
            assert!(
                ["class", "scope", "data-label", "aria-label"].contains(&name),
                "<{tag}>"
            );
        }
        rows += usize::from(tag.starts_with("tr class"));
    }
    assert_eq!(rows, report.rows.len());
    for fetched in ["<script", "<link", "<img", "src=\"", "url(", "@import"] {
        assert!(!page.contains(fetched), "{fetched}");
    }
    assert_harmless(&page);
}

#[test]
fn markdown_keeps_each_row_on_one_line_with_its_cells() {
    let report = report();
    let text = written(&report, Format::Md, LAYOUT);
    let table: Vec<_> = text
        .lines()
        .skip_while(|line| !line.starts_with("| status"))
        .collect();
    assert_eq!(table.len(), report.rows.len() + 2);
    for line in table {
        assert_eq!(unescaped(line, '|'), 5, "{line}");
        for markup in ['`', '[', '<', '~'] {
            assert_eq!(unescaped(line, markup), 0, "{line}");
        }
        assert!(!line.contains("://") && !line.contains("@team"), "{line}");
    }
    assert_harmless(&text);
}

/// How often the character stands in the line without a backslash that takes its meaning away.
fn unescaped(line: &str, wanted: char) -> usize {
    let mut count = 0;
    let mut escaped = false;
    for character in line.chars() {
        count += usize::from(character == wanted && !escaped);
        escaped = character == '\\' && !escaped;
    }
    count
}

#[test]
fn a_terminal_is_told_nothing_but_colours() {
    let report = report();
    for format in [Format::Pretty, Format::Plain, Format::Brief] {
        for width in [40, 100, 160] {
            let plain = written(&report, format, Layout { width, ..LAYOUT });
            assert_harmless(&plain);
            let colour = Layout {
                width,
                colour: true,
                ..LAYOUT
            };
            let coloured = written(&report, format, colour);
            assert_eq!(without_colours(&coloured), plain.replace('\u{1b}', "?"));
        }
    }
}

/// Nothing that drives a terminal or hides, line ends aside.
fn assert_harmless(text: &str) {
    for line in text.split('\n') {
        for character in line.chars() {
            let hides = character.is_control()
                || ['\u{202e}', '\u{2066}', '\u{200b}', '\u{feff}', '\u{2028}']
                    .contains(&character);
            assert!(!hides, "{character:?} in {line:?}");
        }
    }
}
