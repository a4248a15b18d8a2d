//! `plan`: what it prints, and that what it prints is safe to run.

mod support;

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
    let Command { args } = Command::try_parse_from(["plan"].iter().chain(args)).unwrap();
    plan::plan(args).await.unwrap()
}

const AS_OF: &str = "2024-06-30T15:04:05Z";

async fn demo(args: &[&str]) -> Plan {
    let mut all = vec!["--source=demo", "--as-of", AS_OF];
    all.extend(args);
    plan(&all).await
}

fn assert_golden(name: &str, text: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("golden");
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
        assert_golden(&format!("plan_{name}"), &text);
    }
}

#[tokio::test]
async fn what_hides_ids_gives_no_command_that_names_one() {
    for display in ["last4", "none"] {
        let plan = demo(&["--metrics.access-key-id", display]).await;
        assert_golden(&format!("plan_ids_{display}"), &plan.render(Format::Text));
        for (_, format) in Format::ALL {
            let text = plan.render(format);
            assert!(!text.contains("AKIAEXAMPLE"), "{text}");
            assert!(!text.contains("--access-key-id "), "{text}");
        }
    }
}
