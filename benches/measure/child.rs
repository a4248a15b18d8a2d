//! Processes that do the work that is measured, so that memory and CPU time are those of one case alone.

use std::{
    ffi::OsStr,
    fs,
    io::{self, BufRead as _, BufReader, Write as _},
    process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};

/// A child process that is talked to by lines. Dropping it ends it.
pub(crate) struct Process {
    child: Child,
    input: ChildStdin,
    /// `None` once it is thrown away.
    output: Option<BufReader<ChildStdout>>,
}

impl Process {
    /// Starts this bench's own binary in another role.
    pub(crate) fn role<I>(arguments: I, environment: &[(&str, String)]) -> anyhow::Result<Self>
    where
        I: IntoIterator,
        I::Item: AsRef<OsStr>,
    {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("role").args(arguments);
        for (name, value) in environment {
            command.env(name, value);
        }
        Self::start(&mut command)
    }

    /// Starts any program.
    pub(crate) fn start(command: &mut Command) -> anyhow::Result<Self> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("{} cannot be started", command.get_program().display()))?;
        let input = child.stdin.take().context("no standard input")?;
        let output = child.stdout.take().context("no standard output")?;
        Ok(Self {
            child,
            input,
            output: Some(BufReader::new(output)),
        })
    }

    /// Waits for the next line that the process prints.
    pub(crate) fn line(&mut self) -> anyhow::Result<String> {
        let mut line = String::new();
        let output = self.output.as_mut();
        output
            .context("its output is thrown away")?
            .read_line(&mut line)?;
        ensure!(line.ends_with('\n'), "a measured process ended early");
        line.truncate(line.trim_end().len());
        Ok(line)
    }

    /// Throws away what it prints from now on, so that it never waits for a reader.
    pub(crate) fn discard_output(&mut self) {
        if let Some(mut output) = self.output.take() {
            // Ends with the process.
            thread::spawn(move || io::copy(&mut output, &mut io::sink()));
        }
    }

    /// Its id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits for it to end by itself.
    pub(crate) fn wait(&mut self) -> anyhow::Result<ExitStatus> {
        Ok(self.child.wait()?)
    }

    /// Gives the process a line.
    pub(crate) fn tell(&mut self, line: &str) -> anyhow::Result<()> {
        writeln!(self.input, "{line}").context("a measured process ended early")
    }

    /// Waits until it has nothing left to do, such as letting go of what it has sent.
    pub(crate) fn settle(&self) -> anyhow::Result<()> {
        settle(&self.child.id().to_string())
    }

    /// CPU time that its threads have taken. Those that ended are left out: the runtimes measured keep theirs.
    pub(crate) fn cpu_time(&self) -> anyhow::Result<Duration> {
        cpu_time(&self.child.id().to_string(), None)
    }

    /// CPU time of all threads that it ever had, in steps of a hundredth of a second. Source: proc(5), fields 14 and 15
    /// of `stat`, in ticks of which Linux has 100 a second wherever this runs.
    pub(crate) fn whole_cpu_time(&self) -> anyhow::Result<Duration> {
        let path = format!("/proc/{}/stat", self.child.id());
        let stat = fs::read_to_string(&path).with_context(|| path.clone())?;
        // The name stands in parentheses and may hold any character.
        let fields = stat.rsplit(") ").next().unwrap_or_default().split(' ');
        let ticks = fields
            .skip(11)
            .take(2)
            .map(str::parse::<u64>)
            .sum::<Result<u64, _>>();
        Ok(Duration::from_millis(ticks.context(path)? * 10))
    }

    /// Resident memory now, in bytes.
    pub(crate) fn resident(&self) -> anyhow::Result<u64> {
        self.memory("VmRSS")
    }

    /// The most resident memory since the start or the last reset, in bytes.
    pub(crate) fn peak(&self) -> anyhow::Result<u64> {
        self.memory("VmHWM")
    }

    /// Begins a new peak. Source: proc(5), `clear_refs`.
    pub(crate) fn reset_peak(&self) -> anyhow::Result<()> {
        let path = format!("/proc/{}/clear_refs", self.child.id());
        fs::write(&path, "5").context(path)
    }

    fn memory(&self, name: &str) -> anyhow::Result<u64> {
        let path = format!("/proc/{}/status", self.child.id());
        let status = fs::read_to_string(&path).with_context(|| path.clone())?;
        let kib = status
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
            .and_then(|value| value.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        Ok(kib.with_context(|| format!("{path} holds no {name}"))? * 1024)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself, and either way there is nothing more to learn from it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until all threads of a process but its first are asleep.
pub(crate) fn settle(process: &str) -> anyhow::Result<()> {
    let tasks = format!("/proc/{process}/task");
    let first = fs::canonicalize(format!("/proc/{process}"))?;
    let first = first.file_name().context("a process without an id")?;
    let deadline = Instant::now() + Duration::from_secs(10);
    while Instant::now() < deadline {
        let mut busy = false;
        for task in fs::read_dir(&tasks).with_context(|| tasks.clone())? {
            let task = task?;
            // A thread may end while the directory is read.
            let state = fs::read_to_string(task.path().join("stat")).unwrap_or_default();
            // The state follows the name, which stands in parentheses and may hold any character.
            let runs = state
                .rsplit(") ")
                .next()
                .is_some_and(|rest| rest.starts_with('R'));
            busy |= runs && task.file_name() != first;
        }
        if !busy {
            return Ok(());
        }
        thread::yield_now();
    }
    bail!("process {process} is always busy")
}

/// CPU time of the threads that a process has, or of those of that name. Source: the kernel's
/// sched-stats.rst: the first number of a thread's `schedstat` is its time on a CPU in nanoseconds.
pub(crate) fn cpu_time(process: &str, thread: Option<&str>) -> anyhow::Result<Duration> {
    let tasks = format!("/proc/{process}/task");
    let mut total = Duration::ZERO;
    for task in fs::read_dir(&tasks).with_context(|| tasks.clone())? {
        let task = task?.path();
        // A thread may end while the directory is read.
        let (Ok(name), Ok(times)) = (
            fs::read_to_string(task.join("comm")),
            fs::read_to_string(task.join("schedstat")),
        ) else {
            continue;
        };
        if thread.is_none_or(|wanted| wanted == name.trim_end()) {
            let time = times.split_whitespace().next();
            let nanoseconds = time
                .and_then(|time| time.parse().ok())
                .context(tasks.clone())?;
            total += Duration::from_nanos(nanoseconds);
        }
    }
    Ok(total)
}
