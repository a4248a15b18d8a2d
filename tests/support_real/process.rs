//! A program that lives as long as its handle, and whose output is shown when the test fails.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::Instant;

use super::wait::PATIENCE;

/// A running program. Dropping it ends it.
pub(crate) struct Process {
    name: String,
    child: Child,
    output: Arc<Output>,
    /// Held open: the launcher of moto ends when it closes, even if this process is killed.
    _stdin: Option<ChildStdin>,
}

#[derive(Default)]
struct Output {
    state: Mutex<Lines>,
    changed: Condvar,
}

#[derive(Default)]
struct Lines {
    lines: Vec<String>,
    streams_closed: usize,
}

/// Standard output and standard error.
const STREAMS: usize = 2;

impl Process {
    pub(crate) fn start(name: impl Into<String>, command: &mut Command) -> Self {
        let name = name.into();
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {name}: {error}"));
        let output = Arc::new(Output::default());
        follow(child.stdout.take(), &output);
        follow(child.stderr.take(), &output);
        Self {
            name,
            output,
            _stdin: child.stdin.take(),
            child,
        }
    }

    /// The address that a program of Prometheus' family says it listens on. Each writes it as a field of its log line,
    /// in the words of the toolkit that they share.
    pub(crate) fn wait_for_listening_on(&self) -> SocketAddr {
        self.wait_for_line("address", |line| {
            if !line.contains("msg=\"Listening on\"") {
                return None;
            }
            let address = line.split_once("address=")?.1.split_whitespace().next()?;
            address.trim_matches('"').parse().ok()
        })
    }

    /// The first answer that `find` gives to a line of the program's output.
    pub(crate) fn wait_for_line<T>(&self, what: &str, find: impl Fn(&str) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        let mut state = self.output.lock();
        loop {
            if let Some(found) = state.lines.iter().find_map(|line| find(line)) {
                return found;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(
                state.streams_closed < STREAMS,
                "{} ended without {what}; it said:\n{}",
                self.name,
                state.lines.join("\n")
            );
            assert!(
                !left.is_zero(),
                "{} gave no {what} in {PATIENCE:?}; it said:\n{}",
                self.name,
                state.lines.join("\n")
            );
            state = self
                .output
                .changed
                .wait_timeout(state, left)
                .expect("no reader panics with the lines in hand")
                .0;
        }
    }
}

impl Output {
    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.state
            .lock()
            .expect("no reader panics with the lines in hand")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Either fails only if the program is already gone.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking()
            && let Ok(state) = self.output.state.lock()
        {
            #[expect(
                clippy::print_stderr,
                reason = "the test harness shows it with the failure"
            )]
            {
                eprintln!("--- {} said:\n{}\n---", self.name, state.lines.join("\n"));
            }
        }
    }
}

fn follow(stream: Option<impl Read + Send + 'static>, output: &Arc<Output>) {
    let stream = stream.expect("both streams are piped");
    let output = Arc::clone(output);
    thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            output.lock().lines.push(line);
            output.changed.notify_all();
        }
        output.lock().streams_closed += 1;
        output.changed.notify_all();
    });
}
