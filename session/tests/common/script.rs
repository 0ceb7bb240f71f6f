//! Programs that tests write and run.

use std::path::Path;
use std::process::{Command, Stdio};

/// Writes a shell script that can be run at once.
///
/// Another process does it: a file that is open for writing cannot be executed ("Text file busy"), and a program that a neighbouring test starts in
/// that moment takes our open files with it, until it is executed itself.
pub(crate) fn write(path: &Path, script: &str) {
    let status = Command::new("sh")
        .args(["-c", r#"printf '%s' "$1" > "$0" && chmod 700 "$0""#])
        .arg(path)
        .arg(script)
        .stdin(Stdio::null())
        .status()
        .expect("a shell");
    assert!(status.success(), "{} is not written", path.display());
}
