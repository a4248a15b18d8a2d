//! Every format of `check`: as a whole on the demo, field by field against its schema, and with
//! names that no format may be broken by.
#![allow(
    clippy::unwrap_used,
    reason = "a test may panic, and so may what prepares it"
)]

#[path = "check_formats/findings.rs"]
mod findings;
#[path = "check_formats/hostile.rs"]
mod hostile;
#[path = "check_formats/made.rs"]
mod made;
#[path = "check_formats/xml.rs"]
mod xml;

use iam_key_exporter::{
    check::{
        control::Control,
        format::{Format, Layout},
        rows::{Sort, Status},
    },
    inventory::{Listing, User},
    reason::Reason,
};
use made::{LAYOUT, account, demo, key, report_of, written};
use serde_json::Value;

/// With escape characters made visible and without what changes with each release.
fn assert_golden(name: &str, text: &str) {
    let text = text
        .replace('\u{1b}', "␛")
        .replace(env!("CARGO_PKG_VERSION"), "VERSION");
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("golden/check");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, text));
}

#[test]
fn the_demo_in_colour_and_without_at_each_width() {
    let report = demo(false);
    for width in [60, 100, 160] {
        for (name, colour) in [("colour", true), ("mono", false)] {
            let layout = Layout {
                width,
                colour,
                ..LAYOUT
            };
            let text = written(&report, Format::Pretty, layout);
            assert_golden(&format!("pretty_{width}_{name}"), &text);
        }
    }
}

#[test]
fn a_text_is_never_wider_than_the_terminal() {
    for details in [false, true] {
        let report = demo(details);
        for width in 40..200 {
            let layout = Layout { width, ..LAYOUT };
            for format in [Format::Plain, Format::Brief] {
                for line in written(&report, format, layout).lines() {
                    // A fact is one word, and longer than the line only if it must be.
                    assert!(line.chars().count() <= width, "{width}: {line}");
                }
            }
        }
    }
}

#[test]
fn colours_change_nothing_but_colours() {
    let report = demo(true);
    let coloured = written(
        &report,
        Format::Pretty,
        Layout {
            colour: true,
            ..LAYOUT
        },
    );
    let plain = written(&report, Format::Plain, LAYOUT);
    assert_ne!(coloured, plain);
    assert_eq!(made::without_colours(&coloured), plain);
}

#[test]
fn the_demo_in_each_format() {
    for (name, format) in Format::ALL {
        // Findings are long: one of each status shows all there is.
        let mut report = demo(false);
        if matches!(format, Format::Asff | Format::Ocsf) {
            let mut seen = Vec::new();
            report.rows.retain(|row| {
                let new = !seen.contains(&row.status);
                seen.push(row.status);
                new
            });
        }
        if format != Format::Pretty {
            assert_golden(name, &written(&report, format, LAYOUT));
        }
    }
}

#[test]
fn the_demo_with_details() {
    let report = demo(true);
    for (name, format) in [("plain", Format::Plain), ("csv", Format::Csv)] {
        let text = written(&report, format, LAYOUT);
        assert_golden(&format!("{name}_details"), &text);
    }
}

#[test]
fn the_json_has_the_shape_of_powerpipe() {
    let report = demo(true);
    let json: Value = serde_json::from_str(&written(&report, Format::Json, LAYOUT)).unwrap();
    let keys = |value: &Value| {
        value
            .as_object()
            .unwrap()
            .keys()
            .cloned()
            .collect::<Vec<_>>()
    };
    // serde_json gives the keys in the order of the alphabet.
    assert_eq!(
        keys(&json),
        [
            "controls",
            "description",
            "group_id",
            "groups",
            "summary",
            "tags",
            "title"
        ]
    );
    let control = &json["controls"][0];
    assert_eq!(
        keys(control),
        [
            "control_id",
            "description",
            "results",
            "run_error",
            "run_status",
            "severity",
            "summary",
            "tags",
            "title"
        ]
    );
    let statuses = ["alarm", "error", "info", "ok", "skip"];
    assert_eq!(keys(&control["summary"]), statuses);
    assert_eq!(keys(&json["summary"]["status"]), statuses);
    let results = control["results"].as_array().unwrap();
    assert_eq!(results.len(), report.rows.len());
    for result in results {
        assert_eq!(keys(result), ["dimensions", "reason", "resource", "status"]);
        for dimension in result["dimensions"].as_array().unwrap() {
            assert_eq!(keys(dimension), ["key", "value"]);
            assert!(dimension["value"].is_string());
        }
    }
    for status in statuses {
        let count = results.iter().filter(|row| row["status"] == status).count();
        assert_eq!(control["summary"][status], count, "{status}");
    }
}

#[test]
fn the_csv_has_the_columns_of_powerpipe_in_its_order() {
    for (details, dimensions) in [(false, 1), (true, 11)] {
        for (_, control) in Control::ALL {
            let mut report = demo(details);
            report.control = control;
            let text = written(&report, Format::Csv, LAYOUT);
            let mut table = csv::Reader::from_reader(text.as_bytes());
            let header = table.headers().unwrap().clone();
            let header: Vec<_> = header.iter().collect();
            assert_eq!(
                header[..11].join(","),
                "group_id,title,description,control_id,control_title,control_description,\
                 reason,resource,status,severity,account_id"
            );
            let tags: Vec<_> = control.tags.iter().map(|(key, _)| *key).collect();
            assert_eq!(header[10 + dimensions..], tags);
            let rows: Vec<_> = table.records().map(Result::unwrap).collect();
            assert_eq!(rows.len(), report.rows.len());
            assert!(rows.iter().all(|row| &row[3] == control.id));
        }
    }
}

#[test]
fn the_csv_takes_another_separator_and_no_header() {
    let layout = Layout {
        header: false,
        separator: b';',
        ..LAYOUT
    };
    let report = demo(false);
    let text = written(&report, Format::Csv, layout);
    assert_eq!(text.lines().count(), report.rows.len());
    let mut table = csv::ReaderBuilder::new()
        .has_headers(false)
        .delimiter(b';')
        .from_reader(text.as_bytes());
    assert!(table.records().all(|row| row.unwrap().len() == 20));
}

#[test]
fn rows_come_in_the_order_asked_for() {
    let order = |sort: Sort| {
        let mut report = demo(false);
        sort.sort(&mut report.rows);
        let subjects = report.rows.into_iter().map(|row| row.subject);
        subjects.collect::<Vec<_>>()
    };
    let by_account = order(Sort::Account);
    assert!(by_account.is_sorted_by_key(|row| (row.account, row.user.clone())));
    let by_user = order(Sort::User);
    assert!(by_user.is_sorted_by_key(|row| (row.user.clone(), row.account)));
    let by_age = order(Sort::Age);
    assert!(by_age.is_sorted_by_key(|row| row.key.as_ref().unwrap().created));
}

#[test]
fn what_could_not_be_read_is_an_error_row() {
    let nobody = User::unread("nobody", vec![], Reason::AccessDenied);
    let overdue = User::unread(
        "overdue",
        vec![key("AKIA1", "Active", 100)],
        Reason::Timeout,
    );
    let strange = User::read("strange", vec![key("AKIA2", "Paused", 1)]);
    let cut = account(
        "111122223333",
        vec![nobody, overdue, strange],
        Listing::Truncated(Reason::Throttled),
    );
    let mut never_read = account("444455556666", vec![], Listing::Complete);
    never_read.inventory = None;
    never_read.failures = vec![Reason::Network];
    let report = report_of(vec![cut, never_read], Some(Reason::Credentials));
    let rows: Vec<_> = report
        .rows
        .iter()
        .map(|row| (row.resource.as_str(), row.status, row.reason.as_str()))
        .collect();
    assert_eq!(
        rows,
        [
            (
                "arn:aws:::111122223333",
                Status::Error,
                "The listing of the users of 111122223333 broke off (throttled), so users may be missing."
            ),
            (
                "arn:aws:iam::111122223333:user/nobody",
                Status::Error,
                "nobody could not be read (access_denied)."
            ),
            (
                "arn:aws:iam::111122223333:user/overdue/accesskey/AKIA1",
                Status::Alarm,
                "overdue AKIA1 created 22-Mar-2024 (100 days)."
            ),
            (
                "arn:aws:iam::111122223333:user/overdue",
                Status::Error,
                "overdue could not be read (timeout)."
            ),
            (
                "arn:aws:iam::111122223333:user/strange/accesskey/AKIA2",
                Status::Error,
                "strange AKIA2 status is Paused."
            ),
            (
                "444455556666",
                Status::Error,
                "444455556666 could not be read (network)."
            ),
            (
                "unknown account",
                Status::Error,
                "The account could not be read (credentials)."
            ),
        ]
    );
    for (_, format) in Format::ALL {
        assert!(!report.is_complete);
        written(&report, format, LAYOUT);
    }
    findings::assert_asff(&report);
    findings::assert_ocsf(&report);
    xml::assert_junit(&report);
    xml::assert_nunit(&report);
}

#[test]
fn a_report_without_rows_is_written_in_each_format() {
    let empty = account("111122223333", vec![], Listing::Complete);
    let report = report_of(vec![empty], None);
    assert!(report.is_complete);
    let text = written(&report, Format::Plain, LAYOUT);
    assert!(
        text.contains("0 / 0") && text.contains("No access keys."),
        "{text}"
    );
    assert_eq!(written(&report, Format::Csv, LAYOUT).lines().count(), 1);
    let json: Value = serde_json::from_str(&written(&report, Format::Json, LAYOUT)).unwrap();
    assert_eq!(json["controls"][0]["results"], Value::Array(vec![]));
    assert!(!written(&report, Format::Html, LAYOUT).contains("<table"));
    findings::assert_asff(&report);
    findings::assert_ocsf(&report);
    xml::assert_junit(&report);
    xml::assert_nunit(&report);
}

#[test]
fn findings_and_test_results_pass_their_schemas_on_the_demo() {
    for details in [false, true] {
        let mut report = demo(details);
        for statuses in [&[][..], &[Status::Alarm], &[Status::Skip], &[Status::Error]] {
            report = demo(details);
            report.keep(statuses);
            findings::assert_asff(&report);
            findings::assert_ocsf(&report);
            xml::assert_junit(&report);
            xml::assert_nunit(&report);
        }
        report.control = Control::ALL[10].1;
        findings::assert_asff(&report);
    }
}
