//! A shell script in a terminal of its own, with somebody who answers.

use std::{
    io::{Read, Write},
    path::Path,
    process::ExitStatus,
};

use pty_process::blocking::{Command, open};

/// What a script asks with, at the end of each question.
const PROMPT: &str = "[y/n/q] ";

/// What came of a script.
pub(crate) struct Ran {
    /// All that the terminal showed.
    pub(crate) shown: String,
    pub(crate) status: ExitStatus,
}

/// Runs `shell script` in `directory`, and gives the answers to its questions one by one. Before an
/// answer is given, `before` is told its number.
pub(crate) fn run(
    shell: &str,
    script: &Path,
    directory: &Path,
    environment: &[(String, String)],
    answers: &[&str],
    mut before: impl FnMut(usize),
) -> Ran {
    let (mut terminal, end) = open().expect("the system has terminals");
    let mut child = Command::new(shell)
        .arg(script)
        .current_dir(directory)
        .env_clear()
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .spawn(end)
        .expect("there is a shell");
    let mut shown = Vec::new();
    let mut asked = 0;
    let mut buffer = [0; 4096];
    // Linux says EIO where nobody holds the other end any more.
    while let Ok(count @ 1..) = terminal.read(&mut buffer) {
        shown.extend(&buffer[..count]);
        let text = String::from_utf8_lossy(&shown);
        let questions = text.matches(PROMPT).count();
        if text.ends_with(PROMPT) && questions > asked {
            asked = questions;
            before(asked - 1);
            // What isn't foreseen is answered with an end.
            let answer = answers.get(asked - 1).copied().unwrap_or("q");
            writeln!(terminal, "{answer}").expect("the script waits for its answer");
        }
    }
    Ran {
        shown: String::from_utf8_lossy(&shown).replace("\r\n", "\n"),
        status: child.wait().expect("the shell is a child of this process"),
    }
}
