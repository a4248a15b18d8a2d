//! The plan for people, in a terminal.

use std::fmt::Write;

use super::{Plan, advice::Advice};
use crate::visible::visible;

/// The plan, its sentences broken at `width` columns if there is one. Commands never are, so that
/// they can be copied.
pub(super) fn render(plan: &Plan, width: Option<usize>) -> String {
    let mut text = String::new();
    write(plan, width, &mut text).expect("a String takes everything");
    text
}

fn write(plan: &Plan, width: Option<usize>, out: &mut String) -> std::fmt::Result {
    for (number, advice) in plan.advices.iter().enumerate() {
        write_advice(number + 1, advice, plan, width, out)?;
    }
    if plan.advices.is_empty() {
        writeln!(out, "Nothing to do.\n")?;
    }
    if !plan.unread.is_empty() {
        writeln!(out, "Could not be read, so that nothing is advised:")?;
        for unread in &plan.unread {
            let (user, account) = (visible(&unread.user), unread.account);
            writeln!(out, "  {user} ({account}): {}", unread.reason)?;
        }
        writeln!(out)?;
    }
    for failure in &plan.failures {
        match failure.account {
            Some(account) => write!(out, "Account {account}")?,
            None => write!(out, "An account")?,
        }
        writeln!(
            out,
            " could not be read completely ({}): {}",
            failure.reason, failure.message
        )?;
    }
    for remark in plan.remarks() {
        let note = format!("Note: {remark}.");
        writeln!(out, "{}", broken(&note, "", "  ", width))?;
    }
    writeln!(out, "{}", broken(&plan.summary(), "", "", width))
}

fn write_advice(
    number: usize,
    advice: &Advice,
    plan: &Plan,
    width: Option<usize>,
    out: &mut String,
) -> std::fmt::Result {
    let (user, account) = (visible(&advice.user), advice.account);
    writeln!(out, "{number}. {user} ({account}): {}", advice.step)?;
    writeln!(out, "{}", broken(&advice.why, "   ", "   ", width))?;
    for note in &advice.notes {
        writeln!(out, "{}", broken(note, "   - ", "     ", width))?;
    }
    let mut last_purpose = "";
    for action in &advice.actions {
        if let Some(command) = action.command(&advice.user, &plan.cli) {
            let purpose = action.purpose();
            if purpose != last_purpose {
                writeln!(out, "   # {purpose}")?;
            }
            last_purpose = purpose;
            writeln!(out, "   {}", command.line())?;
        }
    }
    writeln!(out)
}

/// The text with its indents, broken between words where it is too wide.
fn broken(text: &str, first: &str, others: &str, width: Option<usize>) -> String {
    let Some(width) = width else {
        return format!("{first}{text}");
    };
    let options = textwrap::Options::new(width)
        .initial_indent(first)
        .subsequent_indent(others)
        // Ids, times and flags stay whole.
        .break_words(false)
        .word_splitter(textwrap::WordSplitter::NoHyphenation);
    textwrap::fill(text, options)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_are_broken_between_words_and_only_where_there_is_a_width() {
        let text = "wait until 2024-08-09T15:04:05Z and see whether anything misses it";
        assert_eq!(broken(text, " - ", "   ", None), format!(" - {text}"));
        assert_eq!(
            broken(text, " - ", "   ", Some(36)),
            " - wait until 2024-08-09T15:04:05Z\n   and see whether anything misses\n   it"
        );
        assert_eq!(
            broken(text, " - ", "   ", Some(8)).lines().nth(2),
            Some("   2024-08-09T15:04:05Z")
        );
    }
}
