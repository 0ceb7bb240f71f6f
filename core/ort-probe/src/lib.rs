//! Says within a deadline whether a file is an ONNX Runtime library that can be used.
//!
//! Loading the wrong library is where users of ONNX Runtime get stuck: one that is too old parks its thread for ever, one that was cut
//! off kills the process, one whose initialiser hangs takes the program along. [`probe`] looks first: at the file, without running
//! it; then at how another process fares that loads it; then at what it exports, on a thread of its own. What passes stays loaded.
//!
//! This crate is apart from the core because opening a library runs its code, which only `unsafe` can.

mod image;
mod rehearsal;

use std::ffi::{CStr, c_char, c_void};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// The one function that ONNX Runtime exports for everything else.
const ENTRY: &str = "OrtGetApiBase";

/// An ONNX Runtime library that answered.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Found {
    /// The file, absolute and without symbolic links.
    pub path: PathBuf,
    /// What it says its version is, as `1.32.0`.
    pub version: String,
}

/// Why a library cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProbeError {
    /// There is nothing at the path, or it cannot be read.
    #[error("{}: {reason}; give the path of the onnxruntime shared library itself", path.display())]
    Unreadable {
        /// The path that was given.
        path: PathBuf,
        /// What the system says.
        reason: String,
    },
    /// The file is no shared library of this system.
    #[error("{} is not a shared library of this system; give the path of libonnxruntime", path.display())]
    NotALibrary {
        /// The file.
        path: PathBuf,
    },
    /// The library is for another kind of processor.
    #[error("{} is for another processor than this one; get the onnxruntime of this platform", path.display())]
    OtherMachine {
        /// The file.
        path: PathBuf,
    },
    /// The file ends before its contents do.
    #[error("{} is cut off: it has {len} bytes and needs {needed}; fetch it again", path.display())]
    Truncated {
        /// The file.
        path: PathBuf,
        /// Bytes it must have.
        needed: u64,
        /// Bytes it has.
        len: u64,
    },
    /// The library is something else.
    #[error("{} is not ONNX Runtime: it does not export OrtGetApiBase", path.display())]
    NotOnnxRuntime {
        /// The file.
        path: PathBuf,
    },
    /// The system's loader refuses the library.
    #[error("{} cannot be loaded: {reason}", path.display())]
    Refused {
        /// The file.
        path: PathBuf,
        /// What the loader says.
        reason: String,
    },
    /// The library is older than what is needed, or has no version that can be read.
    #[error(
        "{} is ONNX Runtime {version}: 1.{minimum} or newer is needed; update onnxruntime", path.display()
    )]
    TooOld {
        /// The file.
        path: PathBuf,
        /// What it says its version is.
        version: String,
        /// The oldest minor version that would do.
        minimum: u32,
    },
    /// The library claims a version whose interface it does not give.
    #[error(
        "{} says it is ONNX Runtime {version} but has no interface of version {minimum}; use an unmodified build", path.display()
    )]
    NoInterface {
        /// The file.
        path: PathBuf,
        /// What it says its version is.
        version: String,
        /// The interface that was asked for.
        minimum: u32,
    },
    /// The library ends the process that loads it.
    #[error("{} ends the process that loads it ({how}); fetch it again, or another build", path.display())]
    Crashes {
        /// The file.
        path: PathBuf,
        /// How the process ended.
        how: String,
    },
    /// The library did not answer in time.
    #[error("{} did not finish loading within {deadline:?}; it cannot be used", path.display())]
    TimedOut {
        /// The file.
        path: PathBuf,
        /// The time it was given.
        deadline: Duration,
    },
}

/// The start of the struct that `OrtGetApiBase` returns, stable since ONNX Runtime 1.0.
#[repr(C)]
struct ApiBase {
    api: Option<unsafe extern "system" fn(version: u32) -> *const c_void>,
    version: Option<unsafe extern "system" fn() -> *const c_char>,
}

/// Opens the library at `path` and asks it for the interface of ONNX Runtime 1.`minimum`, all within `deadline`.
///
/// On success the library stays loaded until the process ends: ONNX Runtime has threads of its own and cannot be unloaded.
///
/// On Linux a process is started that loads the library first, so that one that crashes or hangs does so there. Where that
/// cannot be (other systems, no `true`, a path with a space or colon), a library that hangs leaves a thread behind and the
/// system's loader locked: the error comes in time, but the program should then end, if need be with an abort.
///
/// # Errors
/// [`ProbeError`], by what is wrong.
pub fn probe(path: &Path, minimum: u32, deadline: Duration) -> Result<Found, ProbeError> {
    let until = Instant::now() + deadline;
    let unreadable = |error: std::io::Error| ProbeError::Unreadable {
        path: path.to_owned(),
        reason: error.to_string(),
    };
    let path = fs::canonicalize(path).map_err(unreadable)?;
    let mut file = File::open(&path).map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(ProbeError::NotALibrary { path });
    }
    if cfg!(all(
        unix,
        not(target_vendor = "apple"),
        target_pointer_width = "64",
        target_endian = "little"
    )) {
        image::inspect(&mut file, ENTRY).map_err(|flaw| describe(flaw, &path, metadata.len()))?;
    }
    if cfg!(target_os = "linux") {
        match rehearsal::load(&path, until) {
            rehearsal::Ending::Fine => {}
            rehearsal::Ending::Died(how) => return Err(ProbeError::Crashes { path, how }),
            rehearsal::Ending::Hung => return Err(ProbeError::TimedOut { path, deadline }),
        }
    }
    match open_within(&path, minimum, until) {
        Some(found) => found,
        None => Err(ProbeError::TimedOut { path, deadline }),
    }
}

/// What the thread that opens the library and the one that waits for it share.
#[derive(Default)]
struct Desk {
    waiting: bool,
    found: Option<Result<Found, ProbeError>>,
}

/// [`open`] on another thread; `None` if it has not returned at `until`.
///
/// The waiting thread must touch nothing that may wait for the loader, as a channel does (its thread-local state has a
/// destructor). So it sits down first, on a lock and a condition alone, and only then the library is opened.
fn open_within(path: &Path, minimum: u32, until: Instant) -> Option<Result<Found, ProbeError>> {
    let desk = Arc::new((Mutex::new(Desk::default()), Condvar::new()));
    let (on_thread, path_on_thread) = (Arc::clone(&desk), path.to_owned());
    let work = move || {
        let (desk, changed) = &*on_thread;
        let unlocked =
            |desk: &Mutex<Desk>| desk.lock().unwrap_or_else(PoisonError::into_inner).waiting;
        while !unlocked(desk) {
            thread::yield_now();
        }
        let found = open(&path_on_thread, minimum);
        desk.lock().unwrap_or_else(PoisonError::into_inner).found = Some(found);
        changed.notify_one();
    };
    let thread = thread::Builder::new().name("onnxruntime-probe".to_owned());
    if let Err(error) = thread.spawn(work) {
        return Some(Err(ProbeError::Refused {
            path: path.to_owned(),
            reason: error.to_string(),
        }));
    }
    let (desk, changed) = &*desk;
    let mut desk = desk.lock().unwrap_or_else(PoisonError::into_inner);
    desk.waiting = true;
    while desk.found.is_none() {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return None;
        }
        let woken = changed
            .wait_timeout(desk, left)
            .unwrap_or_else(PoisonError::into_inner);
        desk = woken.0;
    }
    desk.found.take()
}

fn describe(flaw: image::Flaw, path: &Path, len: u64) -> ProbeError {
    let path = path.to_owned();
    match flaw {
        image::Flaw::Unreadable(error) => ProbeError::Unreadable {
            path,
            reason: error.to_string(),
        },
        image::Flaw::NotALibrary => ProbeError::NotALibrary { path },
        image::Flaw::OtherMachine => ProbeError::OtherMachine { path },
        image::Flaw::Truncated { needed } => ProbeError::Truncated { path, needed, len },
        image::Flaw::NoSymbol => ProbeError::NotOnnxRuntime { path },
    }
}

/// Runs the library's initialisers and asks who it is. May never return.
fn open(path: &Path, minimum: u32) -> Result<Found, ProbeError> {
    let not_onnx_runtime = || ProbeError::NotOnnxRuntime {
        path: path.to_owned(),
    };
    // SAFETY: initialisers of a library that the host chose and whose file is whole; ONNX Runtime's ask nothing of the caller.
    let library =
        unsafe { libloading::Library::new(path) }.map_err(|error| ProbeError::Refused {
            path: path.to_owned(),
            reason: error.to_string(),
        })?;
    // Never closed, whatever it turns out to be: it may have started threads.
    let library = Box::leak(Box::new(library));
    // SAFETY: ONNX Runtime declares the function with this type in every version; no other library uses the name.
    let entry =
        unsafe { library.get::<unsafe extern "system" fn() -> *const ApiBase>(ENTRY.as_bytes()) }
            .map_err(|_| not_onnx_runtime())?;
    // SAFETY: takes no arguments and returns a pointer to a constant.
    let base = unsafe { entry() };
    // SAFETY: null, or a struct that lives as long as the library, which is never closed; it begins with these two pointers.
    let base = unsafe { base.as_ref() }.ok_or_else(not_onnx_runtime)?;
    let (Some(api), Some(version)) = (base.api, base.version) else {
        return Err(not_onnx_runtime());
    };
    // SAFETY: takes no arguments and returns a constant C string.
    let version = unsafe { version() };
    if version.is_null() {
        return Err(not_onnx_runtime());
    }
    // SAFETY: not null, ends with a zero byte, and lives as long as the library.
    let version = unsafe { CStr::from_ptr(version) }
        .to_string_lossy()
        .into_owned();
    if !is_at_least(&version, minimum) {
        return Err(ProbeError::TooOld {
            path: path.to_owned(),
            version,
            minimum,
        });
    }
    // SAFETY: any number may be asked for; the answer is null or a table that lives as long as the library. It is not read here.
    if unsafe { api(minimum) }.is_null() {
        return Err(ProbeError::NoInterface {
            path: path.to_owned(),
            version,
            minimum,
        });
    }
    Ok(Found {
        path: path.to_owned(),
        version,
    })
}

/// Whether `1.32.0` is 1.`minimum` or newer. What cannot be read is not.
fn is_at_least(version: &str, minimum: u32) -> bool {
    let mut numbers = version.split('.').map(|part| part.parse::<u32>().ok());
    matches!(
        (numbers.next().flatten(), numbers.next().flatten()),
        (Some(1), Some(minor)) if minor >= minimum
    )
}

#[cfg(test)]
mod tests {
    use super::is_at_least;

    #[test]
    fn versions_are_compared_as_numbers() {
        for good in ["1.17.0", "1.17", "1.100.2", "1.32.0-dev+a.b"] {
            assert!(is_at_least(good, 17), "{good}");
        }
        for bad in ["1.9.0", "1.16.3", "", "1", "one.17", "0.99.0", "2.17.0"] {
            assert!(!is_at_least(bad, 17), "{bad}");
        }
    }
}
