//! The plan for people, in a terminal.

use std::fmt::Write;

use super::{Plan, advice::Advice, command::visible};

pub(super) fn render(plan: &Plan) -> String {
    let mut text = String::new();
    write(plan, &mut text).expect("a String takes everything");
    text
}

fn write(plan: &Plan, out: &mut String) -> std::fmt::Result {
    for (number, advice) in plan.advices.iter().enumerate() {
        write_advice(number + 1, advice, plan, out)?;
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
        writeln!(out, "Note: {remark}.")?;
    }
    writeln!(out, "{}", plan.summary())
}

fn write_advice(number: usize, advice: &Advice, plan: &Plan, out: &mut String) -> std::fmt::Result {
    let (user, account) = (visible(&advice.user), advice.account);
    writeln!(out, "{number}. {user} ({account}): {}", advice.step)?;
    writeln!(out, "   {}", advice.why)?;
    for note in &advice.notes {
        writeln!(out, "   - {note}")?;
    }
    for action in &advice.actions {
        if let Some(command) = action.command(&advice.user, &plan.cli) {
            writeln!(out, "   # {}\n   {}", action.purpose(), command.line())?;
        }
    }
    writeln!(out)
}
