//! How the process ends.

use std::process;

/// How the process ends, the same for every command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// 0: all went well.
    Fine,
    /// 1: `check` found keys that are overdue.
    Alarms,
    /// 2: something could not be read or judged; it wins over 1, for there may be more alarms.
    Incomplete,
    /// 64: the command line, the environment or the configuration can't be used (`EX_USAGE`).
    Usage,
    /// 70: a fault of the program itself (`EX_SOFTWARE`).
    Internal,
    /// 128 and the signal's number, as a shell reports it: a second signal cut the shutdown short.
    Aborted(StopSignal),
}

/// The signals that stop the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopSignal {
    /// SIGINT, 2.
    Interrupt,
    /// SIGTERM, 15.
    Terminate,
}

impl StopSignal {
    /// The signal's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Interrupt => "SIGINT",
            Self::Terminate => "SIGTERM",
        }
    }
}

impl Exit {
    /// The exit status.
    pub const fn code(self) -> u8 {
        match self {
            Self::Fine => 0,
            Self::Alarms => 1,
            Self::Incomplete => 2,
            Self::Usage => 64,
            Self::Internal => 70,
            Self::Aborted(StopSignal::Interrupt) => 130,
            Self::Aborted(StopSignal::Terminate) => 143,
        }
    }
}

impl From<&clap::Error> for Exit {
    /// Help and version were asked for; all else is a mistake.
    fn from(error: &clap::Error) -> Self {
        if error.use_stderr() {
            Self::Usage
        } else {
            Self::Fine
        }
    }
}

impl From<Exit> for process::ExitCode {
    fn from(exit: Exit) -> Self {
        exit.code().into()
    }
}
