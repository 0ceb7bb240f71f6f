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

const DISK_FULL: &str = "the disk is full; free some space";

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

    /// A file or folder that could not be written.
    pub fn writing(path: &Path, error: &io::Error) -> Self {
        let no_folder = path
            .parent()
            .is_some_and(|folder| !folder.as_os_str().is_empty() && !folder.is_dir());
        let path = path.display();
        Self::Input(match error.kind() {
            io::ErrorKind::NotFound if no_folder => {
                format!("{path}: cannot be written; its folder does not exist, create it first")
            }
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                format!("{path}: permission denied; choose a place this user may write to")
            }
            // Only folders are created where something must not be yet.
            io::ErrorKind::AlreadyExists => format!("{path}: is a file; --out needs a folder"),
            io::ErrorKind::NotADirectory => {
                format!("{path}: cannot be written; a part of this path is a file, not a folder")
            }
            io::ErrorKind::IsADirectory => format!("{path}: is a folder; name a file"),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                format!("{path}: {DISK_FULL}")
            }
            _ => format!("{path}: cannot be written: {error}"),
        })
    }

    /// Standard output could not be written.
    pub fn output(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::OutputClosed,
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Self::Input(format!("standard output: {DISK_FULL}"))
            }
            _ => Self::Input(format!("standard output cannot be written: {error}")),
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
