//! The real binary as a process, for tests of what only a process shows: the command line, exit
//! statuses, signals and logs.

#![allow(
    dead_code,
    reason = "every test binary includes the whole module and uses a part of it"
)]

mod chunked;
pub(crate) mod slow;

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

/// How long anything may take that should happen at once, on a machine that is busy.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// How often a condition is looked at.
const POLL: Duration = Duration::from_millis(20);

/// The binary with nothing of this machine's configuration: no AWS account and no settings.
pub(crate) fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_iam-key-exporter"));
    command
        .env_clear()
        .envs([
            ("AWS_EC2_METADATA_DISABLED", "true"),
            ("AWS_CONFIG_FILE", "/dev/null"),
            ("AWS_SHARED_CREDENTIALS_FILE", "/dev/null"),
            ("RUST_BACKTRACE", "1"),
        ])
        .stdin(Stdio::null());
    command
}

/// Runs the binary to its end, which must come by itself.
pub(crate) fn run(command: &mut Command) -> Finished {
    let child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary can be started");
    let pid = Pid::from_child(&child);
    let (done, outcome) = channel();
    thread::spawn(move || done.send(child.wait_with_output()));
    let Ok(output) = outcome.recv_timeout(PATIENCE) else {
        let _ = kill_process(pid, Signal::KILL);
        panic!("{command:?} did not end by itself");
    };
    output.expect("the output can be read").into()
}

/// What a run to the end left behind.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl From<Output> for Finished {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).expect("the output is UTF-8");
        Self {
            code: output.status.code(),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }
}

/// The daemon, running. Dropping it kills it.
pub(crate) struct Exporter {
    child: Child,
    lines: Receiver<String>,
    /// Every line logged so far, as far as it was waited for.
    pub(crate) log: Vec<String>,
    /// Where it listens, in the order it said so.
    pub(crate) addresses: Vec<SocketAddr>,
}

impl Exporter {
    /// Starts it on a free port of the loopback and waits until it listens.
    pub(crate) fn start(command: &mut Command) -> Self {
        Self::start_on(command, &["127.0.0.1:0"])
    }

    /// Starts it on the addresses and waits until it listens on all.
    pub(crate) fn start_on(command: &mut Command, addresses: &[&str]) -> Self {
        let mut child = command
            .args(
                addresses
                    .iter()
                    .map(|address| format!("--web.listen-address={address}")),
            )
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary can be started");
        let stderr = child.stderr.take().expect("standard error is piped");
        let (line, lines) = channel();
        thread::spawn(move || {
            for text in BufReader::new(stderr).lines().map_while(Result::ok) {
                if line.send(text).is_err() {
                    break;
                }
            }
        });
        let mut exporter = Self {
            child,
            lines,
            log: Vec::new(),
            addresses: Vec::new(),
        };
        for _ in addresses {
            let listening = exporter.wait_for_line("listening");
            exporter.addresses.push(address_in(&listening));
        }
        exporter
    }

    /// Waits for the next line that holds `text`.
    pub(crate) fn wait_for_line(&mut self, text: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => {
                    self.log.push(line.clone());
                    if line.contains(text) {
                        return line;
                    }
                }
                Err(error) => panic!("no line with {text:?} ({error}) after {:#?}", self.log),
            }
        }
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("the process is there");
    }

    /// Sends it a signal again and again until it ends.
    pub(crate) fn insist(&mut self, signal: Signal) {
        let deadline = Instant::now() + PATIENCE;
        while self.is_running() {
            assert!(
                Instant::now() < deadline,
                "it does not end: {:#?}",
                self.log
            );
            self.signal(signal);
            thread::sleep(POLL);
        }
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it still runs.
    pub(crate) fn is_running(&mut self) -> bool {
        self.child
            .try_wait()
            .expect("a child can be waited for")
            .is_none()
    }

    /// Waits for its end, and reads the rest of the log.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("a child can be waited for") {
                break status;
            }
            assert!(
                Instant::now() < deadline,
                "it does not end: {:#?}",
                self.log
            );
            thread::sleep(POLL);
        };
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => self.log.push(line),
                Err(RecvTimeoutError::Disconnected) => return status,
                Err(RecvTimeoutError::Timeout) => panic!("standard error stays open"),
            }
        }
    }

    /// Stops it politely, and returns all that it logged.
    pub(crate) fn stop(mut self) -> Vec<String> {
        self.signal(Signal::TERM);
        let status = self.wait();
        assert_eq!(status.code(), Some(0), "{:#?}", self.log);
        std::mem::take(&mut self.log)
    }

    /// Asks its first address.
    pub(crate) fn get(&self, path: &str) -> Answer {
        get(self.addresses[0], path)
    }

    /// Asks until the answer is as wanted.
    pub(crate) fn poll(&self, path: &str, wanted: impl Fn(&Answer) -> bool) -> Answer {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer = self.get(path);
            if wanted(&answer) {
                return answer;
            }
            assert!(Instant::now() < deadline, "{path} stays {answer:?}");
            thread::sleep(POLL);
        }
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        // Both fail only if it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The address in a log line of either format.
fn address_in(line: &str) -> SocketAddr {
    let address = if line.starts_with('{') {
        let mut line: serde_json::Value = serde_json::from_str(line).expect("a line of JSON");
        line["address"].take().as_str().map(str::to_owned)
    } else {
        fields(line).remove("address")
    };
    address
        .expect("the line says which address")
        .parse()
        .expect("an address with a port")
}

/// What the exporter answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

/// One request on a connection of its own.
pub(crate) fn get(address: SocketAddr, path: &str) -> Answer {
    let mut stream = TcpStream::connect(address).expect("the exporter listens");
    stream
        .set_read_timeout(Some(PATIENCE))
        .expect("a time-out can be set");
    ask(&mut stream, path);
    read_answer(&mut stream)
}

/// Sends a request and doesn't wait for the answer.
pub(crate) fn ask(stream: &mut TcpStream, path: &str) {
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: exporter\r\nConnection: close\r\n\r\n"
    )
    .expect("the request can be sent");
}

/// Reads an answer to the end of the connection, which must hold all that its head promises.
pub(crate) fn read_answer(stream: &mut TcpStream) -> Answer {
    let mut bytes = Vec::new();
    stream
        .read_to_end(&mut bytes)
        .expect("the whole answer comes");
    let end = bytes
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .expect("a head and a body");
    let (head, body) = (&bytes[..end], &bytes[end + 4..]);
    let head = str::from_utf8(head).expect("a head is ASCII").to_owned();
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok())
        .expect("a status line");
    let header = |wanted: &str| {
        head.lines()
            .filter_map(|line| line.split_once(':'))
            .find(|(name, _)| name.eq_ignore_ascii_case(wanted))
            .map(|(_, value)| value.trim())
    };
    let body = match (header("content-length"), header("transfer-encoding")) {
        (Some(length), None) => {
            let length: usize = length.parse().expect("a length");
            assert_eq!(body.len(), length, "the body is whole");
            body.to_vec()
        }
        (None, Some("chunked")) => chunked::body(body).expect("the body is whole"),
        framing => panic!("how long the body is, the head doesn't say: {framing:?}"),
    };
    let body = String::from_utf8(body).expect("the body is text");
    Answer { status, head, body }
}

/// The fields of a logfmt line. Panics on anything else.
pub(crate) fn fields(line: &str) -> BTreeMap<String, String> {
    let mut fields = BTreeMap::new();
    let mut rest = line;
    while !rest.is_empty() {
        let (key, after) = rest
            .split_once('=')
            .unwrap_or_else(|| panic!("no = in {rest:?} of {line:?}"));
        assert!(
            !key.is_empty() && key.bytes().all(|b| b.is_ascii_graphic() && b != b'"'),
            "{key:?} is no key in {line:?}"
        );
        let (value, after) = if let Some(quoted) = after.strip_prefix('"') {
            unquote(quoted).unwrap_or_else(|| panic!("open quote in {line:?}"))
        } else {
            let end = after.find(' ').unwrap_or(after.len());
            (after[..end].to_owned(), &after[end..])
        };
        assert!(
            fields.insert(key.to_owned(), value).is_none(),
            "{key} comes twice in {line:?}"
        );
        assert!(
            after.is_empty() || after.starts_with(' '),
            "{after:?} follows a value in {line:?}"
        );
        rest = after.trim_start_matches(' ');
    }
    fields
}

/// What stands before the closing quote, and what follows it.
fn unquote(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => value.push(characters.next()?.1),
            _ => value.push(character),
        }
    }
    None
}
