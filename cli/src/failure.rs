//! What ends a command early: one line that says what to do, and the exit code.

use std::fmt;
use std::io;
use std::path::Path;
use std::process::ExitCode;

/// Why a command stopped.
#[derive(Debug)]
pub enum Failure {
    /// A file or stream could not be read, understood or written: exit code 1.
    Input(String),
    /// The command line or the configuration does not make sense: exit code 2.
    Usage(String),
    /// The reader of our standard output went away, as `head` does: not an error, exit code 0.
    OutputClosed,
}

impl Failure {
    /// Exit code 1, with the line to print.
    pub fn input(message: impl Into<String>) -> Self {
        Self::Input(message.into())
    }

    /// Exit code 2, with the line to print.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::Usage(message.into())
    }

    /// A file that could not be opened for reading.
    pub fn opening(path: &Path, error: &io::Error) -> Self {
        let path = path.display();
        Self::Input(match error.kind() {
            io::ErrorKind::NotFound => format!("{path}: no such file; check the path"),
            io::ErrorKind::PermissionDenied => {
                format!("{path}: permission denied; make the file readable for this user")
            }
            io::ErrorKind::IsADirectory => format!("{path}: is a directory; give a file"),
            _ => format!("{path}: cannot be opened: {error}"),
        })
    }

    /// A file that could not be written.
    pub fn writing(path: &Path, error: &io::Error) -> Self {
        let path = path.display();
        Self::Input(match error.kind() {
            io::ErrorKind::NotFound => {
                format!("{path}: cannot be written; its folder does not exist, create it first")
            }
            io::ErrorKind::PermissionDenied => {
                format!("{path}: permission denied; choose a place this user may write to")
            }
            _ => format!("{path}: cannot be written: {error}"),
        })
    }

    /// Standard output could not be written.
    pub fn output(error: &io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            Self::OutputClosed
        } else {
            Self::Input(format!("standard output cannot be written: {error}"))
        }
    }

    /// The code this failure ends the process with.
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::OutputClosed => 0,
            Self::Input(_) => 1,
            Self::Usage(_) => 2,
        })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Input(message) | Self::Usage(message) => f.write_str(message),
            Self::OutputClosed => f.write_str("standard output was closed"),
        }
    }
}

impl std::error::Error for Failure {}
