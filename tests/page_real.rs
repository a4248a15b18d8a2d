//! The page in a headless Chromium: what it does on a screen, on a phone, with a keyboard, with a screen reader's
//! eyes (axe-core), and with hostile names.
//!
//! Ignored by a plain `cargo test`, which needs nothing but Rust; `make test` sets the browser up and runs it.

#![expect(clippy::unwrap_used, reason = "these are tests, their helpers too")]

mod exporter;
#[path = "page/made.rs"]
mod made;
#[path = "support_real/tools.rs"]
#[allow(dead_code, reason = "shared with other tests against real parts")]
mod tools;

use std::process::Command;

use exporter::{Exporter, command};

#[test]
#[ignore = "needs Chromium and Node.js: make test"]
fn the_page_in_a_browser() {
    let demo = Exporter::start(command().args(["--source=demo", "--as-of=2026-06-01T12:00:00Z"]));
    demo.poll("/-/ready", |answer| answer.status == 200);
    let hostile = made::hostile_report(&[
        "<script>document.title='run'</script>",
        "\"><img src=x onerror=document.title='run'>",
        "' onmouseover='document.title=1' autofocus onfocus='document.title=1",
        "</style></script><script>document.title='run'</script>",
        "a-name-without-any-place-to-break-it-0123456789-0123456789-0123456789-0123456789",
    ]);
    let url = |exporter: &Exporter| format!("http://{}/", exporter.addresses[0]);
    let run = Command::new(tools::tool("node"))
        .arg(tools::repository("tests/real/page/page.mjs"))
        .arg(tools::tool("chromium"))
        .args([url(&demo), url(&hostile.0)])
        .arg(tools::node_packages())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&run.stdout);
    let errors = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{said}\n{errors}");
    let checks = said.lines().filter(|line| line.starts_with("ok ")).count();
    assert!(checks > 60, "only {checks} checks ran:\n{said}");
}
