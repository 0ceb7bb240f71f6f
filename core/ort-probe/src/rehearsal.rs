//! Loading a library in a process that does not matter, before it is loaded in one that does.
//!
//! An initialiser that crashes ends its process. One that never returns holds the loader's lock, and with glibc that stops more than
//! the thread it runs on: every thread that registers its first thread-local destructor, and the exit of the program (both seen with
//! glibc 2.36). No deadline on a thread helps against that, so `true` is started with the library preloaded, and killed if it
//! does not end. Linux only; elsewhere, and where `true` is missing or cannot be started, nothing is learnt.

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// How it went.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Well, or nobody knows.
    Fine,
    /// The library ended the process, in this way.
    Died(String),
    /// It had not ended at the deadline.
    Hung,
}

/// Programs that do nothing, quickly.
const IDLERS: [&str; 2] = ["/bin/true", "/usr/bin/true"];
/// How often a process is looked at that has not ended; loading ONNX Runtime takes some 30 ms.
const INTERVAL: Duration = Duration::from_millis(2);

/// Starts a process that loads `library`, and waits for its end until `deadline`.
pub(crate) fn load(library: &Path, deadline: Instant) -> Ending {
    let Some(idler) = IDLERS.iter().find(|idler| Path::new(idler).exists()) else {
        return Ending::Fine;
    };
    let Some(preload) = preload(library, std::env::var_os("LD_PRELOAD")) else {
        return Ending::Fine;
    };
    let child = Command::new(idler)
        .env("LD_PRELOAD", preload)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let Ok(mut child) = child else {
        return Ending::Fine;
    };
    loop {
        match child.try_wait() {
            Ok(Some(status)) if status.success() => return Ending::Fine,
            Ok(Some(status)) => return Ending::Died(status.to_string()),
            Ok(None) if Instant::now() < deadline => thread::sleep(INTERVAL),
            Ok(None) => {
                let _ = child.kill();
                // A process that waits for a dead disk may outlive its killing; it is not waited for.
                for _ in 0..50 {
                    if !matches!(child.try_wait(), Ok(None)) {
                        break;
                    }
                    thread::sleep(INTERVAL);
                }
                return Ending::Hung;
            }
            // The host collects its children by itself, this one too.
            Err(_) => return Ending::Fine,
        }
    }
}

/// The libraries to preload: `library` and what this process was started with. `None` for a path that the list cannot hold.
fn preload(library: &Path, before: Option<OsString>) -> Option<OsString> {
    let separates = |byte: &u8| matches!(byte, b' ' | b':' | b'\t' | b'\n');
    if library.as_os_str().as_encoded_bytes().iter().any(separates) {
        return None;
    }
    let mut list = library.as_os_str().to_owned();
    if let Some(before) = before.filter(|before| !before.is_empty()) {
        list.push(OsStr::new(":"));
        list.push(before);
    }
    Some(list)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_put_before_what_was_preloaded_already() {
        let list =
            |path: &str, before: Option<&str>| preload(Path::new(path), before.map(OsString::from));
        assert_eq!(list("/a/b.so", None), Some("/a/b.so".into()));
        assert_eq!(list("/a/b.so", Some("")), Some("/a/b.so".into()));
        assert_eq!(
            list("/a/b.so", Some("c.so:d.so")),
            Some("/a/b.so:c.so:d.so".into())
        );
        for path in ["/a b.so", "/a:b.so", "/a\nb.so"] {
            assert_eq!(list(path, None), None);
        }
    }
}
