//! The plan as a POSIX shell script that asks before each change.
//!
//! What the script does beside calling the AWS CLI is in `prelude.sh`. Everything here that comes
//! from AWS or a file is a quoted word, or, in a comment, a text on one line.

use std::fmt::Write;

use chrono::{DateTime, Utc};

use super::{
    Plan,
    advice::{Action, Advice},
    command::quoted,
    words::instant,
};
use crate::visible::visible;
use crate::{key::LastUse, metrics::exporter::VERSION};

const PRELUDE: &str = include_str!("prelude.sh");

pub(super) fn render(plan: &Plan) -> String {
    let mut script = String::new();
    write(plan, &mut script).expect("a String takes everything");
    script
}

fn write(plan: &Plan, out: &mut String) -> std::fmt::Result {
    let now = instant(plan.now);
    writeln!(out, "#!/bin/sh")?;
    // Nothing in a name may expand.
    writeln!(out, "# shellcheck disable=SC2016")?;
    writeln!(
        out,
        "# Access key rotation plan of {now}, by iam-key-exporter {VERSION}. Read it before you run it."
    )?;
    writeln!(out, "#")?;
    writeln!(
        out,
        "# It asks before each change, looks at the key's last use again right before it deactivates or deletes\n\
         # one, and stops at the first failure. The secret of a new key is written to a file of this directory that\n\
         # only you can read, and shown nowhere. Run it within a day or so: a stale plan stops by itself.\n#"
    )?;
    writeln!(out, "# {}", plan.summary())?;
    for line in missing(plan) {
        writeln!(out, "# {}", visible(&line))?;
    }
    writeln!(out)?;
    writeln!(out, "aws_cli() {{\n  {} \"$@\"\n}}\n", program(plan))?;
    out.push_str(PRELUDE);
    for (number, advice) in plan.advices.iter().enumerate() {
        write_advice(number + 1, advice, plan, out)?;
    }
    writeln!(
        out,
        "\nsay ''\nsay 'Done. Make a new plan for the steps that come next.'\n\
         [ \"$skipped\" -eq 0 ] || fail \"$skipped of {} users were skipped: they are of other accounts\"",
        plan.advices.len()
    )
}

/// What isn't in the plan, and why, one thing a line.
fn missing(plan: &Plan) -> Vec<String> {
    let unread = plan.unread.iter().map(|unread| {
        format!(
            "Not in it: {} ({}) could not be read ({}).",
            unread.user, unread.account, unread.reason
        )
    });
    let failures = plan.failures.iter().map(|failure| {
        let account = failure
            .account
            .map_or_else(String::new, |id| format!(" {id}"));
        format!(
            "Not in it: account{account} could not be read completely ({}): {}",
            failure.reason, failure.message
        )
    });
    let remarks = plan
        .remarks()
        .into_iter()
        .map(|remark| format!("Note: {remark}."));
    unread.chain(failures).chain(remarks).collect()
}

/// The program with its global options.
fn program(plan: &Plan) -> String {
    plan.cli
        .aws()
        .expect("the options were checked when the plan was begun")
        .line()
}

fn write_advice(number: usize, advice: &Advice, plan: &Plan, out: &mut String) -> std::fmt::Result {
    let user = visible(&advice.user);
    let title = format!(
        "{number} of {}: {user} ({}): {}",
        plan.advices.len(),
        advice.account,
        advice.step
    );
    writeln!(out, "\n# {title}")?;
    for action in &advice.actions {
        if let Some(command) = action.command(&advice.user, &plan.cli) {
            writeln!(out, "#   {}", visible(&command.line()))?;
        }
    }
    writeln!(
        out,
        "if begin {} \\\n  {} \\\n  {}; then",
        advice.account,
        word(&title),
        word(&advice.why)
    )?;
    for note in &advice.notes {
        writeln!(out, "  say {}", word(&format!("- {note}")))?;
    }
    let mut indent = "  ";
    for action in &advice.actions {
        write_action(action, advice, plan, indent, out)?;
        if matches!(action, Action::Delete { .. }) && advice.actions.len() > 1 {
            // What follows needs the room.
            indent = "    ";
        }
    }
    if indent != "  " {
        writeln!(out, "  fi")?;
    }
    if advice.notes.is_empty() && advice.actions.is_empty() {
        writeln!(out, "  :")?;
    }
    writeln!(out, "fi")
}

fn write_action(
    action: &Action,
    advice: &Advice,
    plan: &Plan,
    indent: &str,
    out: &mut String,
) -> std::fmt::Result {
    let user = word(&advice.user);
    match action {
        // These change nothing, or nothing that is next: they are for the person to run.
        Action::ListKeys | Action::Reactivate { .. } => {
            let Some(command) = action.command(&advice.user, &plan.cli) else {
                return Ok(());
            };
            let command = format!("{} {}", action.purpose(), visible(&command.line()));
            writeln!(out, "{indent}say {}", word(&command))
        }
        Action::ShowLastUse { id } => writeln!(out, "{indent}show_last_use {}", word(id)),
        Action::Create { keys } => {
            let file = word(&secret_file(advice));
            writeln!(out, "{indent}create {user} {file} {keys}")
        }
        Action::Deactivate {
            id,
            last_use,
            successor,
        } => writeln!(
            out,
            "{indent}deactivate {user} {} {} {}",
            word(id),
            planned(last_use),
            word(successor.as_deref().unwrap_or_default())
        ),
        Action::Delete {
            id,
            status,
            last_use,
        } => {
            let call = format!(
                "delete {user} {} {} {}",
                word(id),
                word(status.as_str()),
                planned(last_use)
            );
            if advice.actions.len() > 1 {
                writeln!(out, "{indent}if {call}; then")
            } else {
                writeln!(out, "{indent}{call} || :")
            }
        }
    }
}

/// A word of the script. What can't be one was refused when the advice was given, so nothing is
/// lost here.
fn word(text: &str) -> String {
    quoted(text).unwrap_or_else(|| quoted(&visible(text)).unwrap_or_else(|| "''".to_owned()))
}

/// The last use as `last_use` of the prelude says it.
fn planned(last_use: &LastUse) -> String {
    let seconds = |time: &DateTime<Utc>| time.format("%Y-%m-%dT%H:%M:%S").to_string();
    match last_use {
        LastUse::At(used) => seconds(&used.time),
        LastUse::Never => "None".to_owned(),
        // No key is taken away on such grounds; nothing that AWS says equals this.
        LastUse::Unknown => "unknown".to_owned(),
    }
}

/// Where the secret of the user's new key goes: another file for each user, for bytes that a file
/// name had better not have are written as %XX.
fn secret_file(advice: &Advice) -> String {
    let mut file = format!("access-key-{}-", advice.account);
    for byte in advice.user.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.,=+@".contains(&byte) {
            file.push(byte.into());
        } else {
            write!(file, "%{byte:02X}").expect("a String takes everything");
        }
    }
    file.push_str(".json");
    file
}
