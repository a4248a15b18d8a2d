//! `plan`: what it prints, and that what it prints is safe to run.

use clap::Parser;
use iam_key_exporter::plan::{self, Format, Plan};

/// The subcommand by itself.
#[derive(Parser)]
struct Command {
    #[command(flatten)]
    args: plan::Args,
}

/// The plan as the arguments make it.
async fn plan(args: &[&str]) -> Plan {
    let Command { args } =
        Command::try_parse_from(["plan"].iter().chain(args)).expect("the arguments are good");
    plan::plan(args).await.expect("the arguments are good")
}

const AS_OF: &str = "2024-06-30T15:04:05Z";

async fn demo(args: &[&str]) -> Plan {
    let mut all = vec!["--source=demo", "--as-of", AS_OF];
    all.extend(args);
    plan(&all).await
}

fn assert_golden(name: &str, text: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("golden/plan");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, text));
}

#[tokio::test]
async fn each_format_is_as_documented() {
    let plan = demo(&[]).await;
    assert!(!plan.is_complete, "a user of the demo can not be read");
    for (name, format) in Format::ALL {
        let text = plan.render(format);
        // The version is of the release, not of the format.
        let text = text.replace(env!("CARGO_PKG_VERSION"), "VERSION");
        assert_golden(name, &text);
    }
}

#[tokio::test]
async fn what_hides_ids_gives_no_command_that_names_one() {
    for display in ["last4", "none"] {
        let plan = demo(&["--metrics.access-key-id", display]).await;
        assert_golden(&format!("ids_{display}"), &plan.render(Format::Text));
        for (_, format) in Format::ALL {
            let text = plan.render(format);
            assert!(!text.contains("AKIAEXAMPLE"), "{text}");
            assert!(!text.contains("--access-key-id "), "{text}");
        }
    }
}

#[tokio::test]
async fn a_report_of_some_days_ago_gives_no_ids_and_says_so() {
    let plan = plan(&[
        "--source=report:tests/fixtures/credential-report.csv",
        "--as-of=2026-03-01T00:00:00Z",
    ])
    .await;
    let text = plan.render(Format::Text);
    assert!(text.contains("has no key ids"), "{text}");
    assert!(text.contains("has nothing live"), "{text}");
    assert!(!text.contains("--access-key-id"), "{text}");
    for (_, format) in Format::ALL {
        for line in plan.render(format).lines() {
            let is_command = line.trim_start().starts_with("aws ");
            assert!(!(is_command && line.contains("slot-")), "{line}");
        }
    }
}

#[tokio::test]
async fn nothing_to_do_is_said_in_every_format() {
    let plan = demo(&["--user=ci-deploy"]).await;
    for (name, format) in Format::ALL {
        let text = plan.render(format);
        assert!(
            text.contains("0 users have something to do") || text.contains("\"users\": []"),
            "{name}: {text}"
        );
    }
}
