//! The plan in Markdown, for a ticket.

use std::fmt::Write;

use super::{Plan, advice::Advice, words::instant};
use crate::visible::visible;

pub(super) fn render(plan: &Plan) -> String {
    let mut text = String::new();
    write(plan, &mut text).expect("a String takes everything");
    text
}

fn write(plan: &Plan, out: &mut String) -> std::fmt::Result {
    writeln!(out, "# Access key rotation plan, {}\n", instant(plan.now))?;
    writeln!(out, "{}\n", plan.summary())?;
    for remark in plan.remarks() {
        writeln!(out, "> Note: {}.\n", escaped(&remark))?;
    }
    for failure in &plan.failures {
        let account = failure.account.map_or_else(
            || "An account".to_owned(),
            |account| format!("Account {account}"),
        );
        writeln!(
            out,
            "> {account} could not be read completely ({}): {}\n",
            escaped(failure.reason.as_str()),
            escaped(&failure.message)
        )?;
    }
    for (number, advice) in plan.advices.iter().enumerate() {
        write_advice(number + 1, advice, plan, out)?;
    }
    if !plan.unread.is_empty() {
        writeln!(out, "## Could not be read, so that nothing is advised\n")?;
        writeln!(out, "| account | user | reason |\n|---|---|---|")?;
        for unread in &plan.unread {
            writeln!(
                out,
                "| {} | {} | {} |",
                unread.account,
                escaped(&unread.user),
                escaped(unread.reason.as_str())
            )?;
        }
    }
    // One end of line, however the last part ended.
    out.truncate(out.trim_end().len());
    writeln!(out)
}

fn write_advice(number: usize, advice: &Advice, plan: &Plan, out: &mut String) -> std::fmt::Result {
    writeln!(
        out,
        "## {number}. {} ({}): {}\n",
        escaped(&advice.user),
        advice.account,
        advice.step
    )?;
    writeln!(out, "{}\n", escaped(&advice.why))?;
    for note in &advice.notes {
        writeln!(out, "- {}", escaped(note))?;
    }
    if !advice.notes.is_empty() {
        writeln!(out)?;
    }
    let mut code = String::new();
    let mut last_purpose = "";
    for action in &advice.actions {
        if let Some(command) = action.command(&advice.user, &plan.cli) {
            let purpose = action.purpose();
            if purpose != last_purpose {
                writeln!(code, "# {purpose}")?;
            }
            last_purpose = purpose;
            writeln!(code, "{}", command.line())?;
        }
    }
    if !code.is_empty() {
        let fence = fence(&code);
        writeln!(out, "{fence}sh\n{code}{fence}\n")?;
    }
    Ok(())
}

/// A fence that nothing in the code closes: longer than any run of backticks in it.
fn fence(code: &str) -> String {
    let longest = code.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    "`".repeat(3.max(longest + 1))
}

/// A text on one line, with everything escaped that Markdown or HTML in it would act upon.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in visible(text).chars() {
        if matches!(
            c,
            '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '#' | '|' | '~' | '&' | '!'
        ) {
            safe.push('\\');
        }
        safe.push(c);
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_turns_into_markup() {
        assert_eq!(
            escaped("<b>|`x`[l](u)\n*_\\a"),
            "\\<b\\>\\|\\`x\\`\\[l\\](u)\\\\u{a}\\*\\_\\\\a"
        );
    }

    #[test]
    fn nothing_in_the_code_closes_its_fence() {
        assert_eq!(fence("aws x"), "```");
        assert_eq!(fence("aws '```` ``'"), "`````");
    }
}
