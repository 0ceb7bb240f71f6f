//! The ONNX Runtime library of this process.

use super::TextModelError;
use listenkit_ort_probe::{Found, ProbeError, probe};
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// The interface that is asked for, the oldest that `ort` speaks: libraries from ONNX Runtime 1.17 (February 2024) on have it.
const INTERFACE: u32 = 17;

/// The library in use. ONNX Runtime allows one in a process.
static LOADED: Mutex<Option<Found>> = Mutex::new(None);

/// An ONNX Runtime library that is loaded and has been asked who it is: the proof that models can be built on it.
///
/// No environment variable is read: the host says which library, and may take it from `ORT_DYLIB_PATH` as the command line
/// does. The file of the PyPI wheel is `onnxruntime/capi/libonnxruntime.so.1.*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OnnxRuntime {
    found: Found,
}

impl OnnxRuntime {
    /// Time a library has to load unless said otherwise. The real one takes about 30 ms, on a cold disk a second.
    pub const DEADLINE: Duration = Duration::from_secs(10);

    /// Loads the library at `path`, or finds it loaded. It stays until the process ends.
    ///
    /// # Errors
    /// [`TextModelError::Library`] if there is none, if it is something else, cut off, for another machine or older than
    /// ONNX Runtime 1.17; [`TextModelError::LibraryHangs`] after [`DEADLINE`](Self::DEADLINE); [`TextModelError::OtherLibrary`]
    /// if a library at another path is in use.
    pub fn load(path: &Path) -> Result<Self, TextModelError> {
        Self::load_within(path, Self::DEADLINE)
    }

    /// [`load`](Self::load) with another deadline.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn load_within(path: &Path, deadline: Duration) -> Result<Self, TextModelError> {
        // Held throughout: two threads that begin at once get one library.
        let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
        let found = probe(path, INTERFACE, deadline).map_err(|error| {
            let what = error.to_string();
            match error {
                ProbeError::TimedOut { .. } => TextModelError::LibraryHangs { what },
                _ => TextModelError::Library { what },
            }
        })?;
        if let Some(loaded) = &*loaded {
            if loaded.path != found.path {
                return Err(TextModelError::OtherLibrary {
                    loaded: loaded.path.clone(),
                    asked: found.path,
                });
            }
            return Ok(Self { found });
        }
        // Opens the same file again, which the system's loader counts and does not repeat.
        let environment = ort::init_from(&found.path).map_err(|error| TextModelError::Library {
            what: error.to_string(),
        })?;
        // False if the host has set up an environment of its own through `ort`; it is as good.
        let _ = environment.with_telemetry(false).commit();
        *loaded = Some(found.clone());
        Ok(Self { found })
    }

    /// The library's version, as `1.32.0`.
    pub fn version(&self) -> &str {
        &self.found.version
    }

    /// The library's file, absolute and without symbolic links.
    pub fn path(&self) -> &Path {
        &self.found.path
    }
}
