//! Tells the package which revision and compiler it is built from.

use std::{env, path::Path, process::Command};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=IAM_KEY_EXPORTER_REVISION");
    let revision = env::var("IAM_KEY_EXPORTER_REVISION")
        .ok()
        .filter(|revision| !revision.is_empty())
        .or_else(git_revision)
        .unwrap_or_else(|| "unknown".to_owned());
    // Not named like a flag's variable: `cargo run` hands these on to the program.
    println!("cargo::rustc-env=BUILD_REVISION={revision}");
    let rustc = rustc_version().unwrap_or_else(|| "unknown".to_owned());
    println!("cargo::rustc-env=BUILD_RUSTC={rustc}");
}

/// The revision that is checked out here. Without a `.git` of its own the package may lie unpacked
/// in somebody else's repository, whose revision would be a lie.
fn git_revision() -> Option<String> {
    if !Path::new(".git").exists() {
        return None;
    }
    // HEAD alone doesn't change with a commit to a branch; its log and the branch's file do. In a
    // worktree they lie elsewhere, so Git is asked where. Cargo takes a path that doesn't exist for
    // one that always changes.
    let branch = output("git", &["rev-parse", "--symbolic-full-name", "HEAD"]);
    for name in [Some("HEAD"), Some("logs/HEAD"), branch.as_deref()] {
        if let Some(path) = name.and_then(|name| output("git", &["rev-parse", "--git-path", name]))
            && Path::new(&path).is_file()
        {
            println!("cargo::rerun-if-changed={path}");
        }
    }
    output("git", &["rev-parse", "--short=12", "HEAD"])
}

/// `1.95.0` of `rustc 1.95.0 (59807616e 2026-04-14)`.
fn rustc_version() -> Option<String> {
    let rustc = env::var("RUSTC").ok()?;
    let version = output(&rustc, &["--version"])?;
    version.split_whitespace().nth(1).map(str::to_owned)
}

/// The trimmed standard output of a command that succeeded.
fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let text = text.trim();
    (output.status.success() && !text.is_empty()).then(|| text.to_owned())
}
