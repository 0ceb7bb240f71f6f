//! Every way a library can be wrong is an error in bounded time. The wrong ones are built here with the C compiler; the right one
//! is onnxruntime's own, from its wheel (`LISTENKIT_ORT_DYLIB`).

#![cfg(target_os = "linux")]

use listenkit_ort_probe::{ProbeError, probe};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// Far above what a good library needs (tens of milliseconds), far below what a hanging one takes.
const DEADLINE: Duration = Duration::from_secs(5);

/// What every fake has: a constant base whose two functions `BODY` defines.
const FAKE: &str = r#"
#include <stdint.h>
#include <unistd.h>
struct base { const void *(*api)(uint32_t); const char *(*version)(void); };
BODY
static const struct base base = { api, version };
const struct base *OrtGetApiBase(void) { return &base; }
"#;

fn folder() -> PathBuf {
    let folder =
        Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("probe-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("a folder for the fakes");
    folder
}

/// Builds `source` as a shared library; `None` where there is no C compiler.
fn build(name: &str, source: &str) -> Option<PathBuf> {
    let (library, code) = (
        folder().join(format!("lib{name}.so")),
        folder().join(format!("{name}.c")),
    );
    fs::write(&code, source).expect("source");
    let cc = Command::new("cc")
        .args(["-shared", "-fPIC", "-o"])
        .args([&library, &code])
        .status();
    match cc {
        Ok(status) => {
            assert!(status.success(), "cc refused {name}");
            Some(library)
        }
        Err(_) => {
            println!("skipped: a fake library needs a C compiler (cc)");
            None
        }
    }
}

fn fake(name: &str, body: &str) -> Option<PathBuf> {
    build(name, &FAKE.replace("BODY", body))
}

fn real() -> Option<PathBuf> {
    let path = std::env::var_os("LISTENKIT_ORT_DYLIB").map(PathBuf::from);
    if path.is_none() {
        println!(
            "skipped: needs onnxruntime's library (set LISTENKIT_ORT_DYLIB to libonnxruntime.so)"
        );
    }
    path
}

#[test]
fn onnxruntime_itself_is_found_with_its_version() {
    let Some(path) = real() else { return };
    let found = probe(&path, 17, DEADLINE).expect("the real one");
    assert!(found.version.starts_with("1."), "{}", found.version);
    assert!(found.path.is_absolute());
    // Again, as a second model would.
    assert_eq!(probe(&path, 17, DEADLINE).as_ref(), Ok(&found));
    let error = probe(&path, 999, DEADLINE).expect_err("there is no 1.999");
    assert!(
        matches!(error, ProbeError::TooOld { minimum: 999, .. }),
        "{error}"
    );
    assert!(
        error.to_string().contains("1.999 or newer is needed"),
        "{error}"
    );
}

#[test]
fn a_path_with_nothing_at_it_says_what_to_give() {
    let error = probe(Path::new("/nowhere/libonnxruntime.so"), 17, DEADLINE).expect_err("nothing");
    assert!(matches!(error, ProbeError::Unreadable { .. }));
    let text = error.to_string();
    assert!(
        text.contains("/nowhere/libonnxruntime.so") && text.contains("give the path"),
        "{text}"
    );
}

#[test]
fn files_that_are_no_library_are_refused_unopened() {
    let folder = folder();
    let text = folder.join("text.so");
    fs::write(
        &text,
        "not a library at all, but long enough for a header of sixty-four bytes\n",
    )
    .expect("text");
    let empty = folder.join("empty.so");
    fs::write(&empty, "").expect("empty");
    for path in [&text, &empty, &folder] {
        let error = probe(path, 17, DEADLINE).expect_err("no library");
        assert!(matches!(error, ProbeError::NotALibrary { .. }), "{error}");
    }
}

#[test]
fn a_library_that_is_something_else_is_refused_without_running_it() {
    let ran = folder().join("ran");
    let source = r#"
        #include <stdio.h>
        __attribute__((constructor)) static void started(void) { fclose(fopen("RAN", "w")); }
        int something_else(void) { return 1; }
    "#;
    let Some(path) = build("other", &source.replace("RAN", &ran.display().to_string())) else {
        return;
    };
    let error = probe(&path, 17, DEADLINE).expect_err("not ONNX Runtime");
    assert!(
        matches!(error, ProbeError::NotOnnxRuntime { .. }),
        "{error}"
    );
    assert!(!ran.exists(), "its initialiser has run");
}

#[test]
fn a_library_for_another_processor_is_refused() {
    let Some(path) = fake(
        "machine",
        "static const void *api(uint32_t v) { return 0; } static const char *version(void) { return 0; }",
    ) else {
        return;
    };
    let mut bytes = fs::read(&path).expect("fake");
    bytes[18] = 8; // MIPS
    fs::write(&path, bytes).expect("fake");
    let error = probe(&path, 17, DEADLINE).expect_err("MIPS");
    assert!(matches!(error, ProbeError::OtherMachine { .. }), "{error}");
}

/// The loader would map it and die of a bus error: a cut library is the commonest result of a broken download.
#[test]
fn a_library_that_was_cut_off_is_an_error_and_no_crash() {
    let path = match real() {
        Some(path) => path,
        None => match fake(
            "whole",
            "static const void *api(uint32_t v) { return 0; } static const char *version(void) { return 0; }",
        ) {
            Some(path) => path,
            None => return,
        },
    };
    let bytes = fs::read(&path).expect("library");
    let cut = folder().join("cut.so");
    for len in [1, 63, 64, 1000, bytes.len() / 2, bytes.len() * 9 / 10] {
        fs::write(&cut, &bytes[..len]).expect("cut");
        let error = probe(&cut, 17, DEADLINE).expect_err("cut off");
        assert!(
            matches!(
                error,
                // A small fake one may lose its table of names and little else.
                ProbeError::Truncated { .. }
                    | ProbeError::NotALibrary { .. }
                    | ProbeError::NotOnnxRuntime { .. }
            ),
            "{len}: {error}"
        );
    }
}

/// Numbers in the headers are not trusted: whatever they say, the answer is an error or a library that loads.
#[test]
fn damaged_headers_are_errors() {
    // Without the name that is looked for, so that no damaged file is ever opened.
    let Some(path) = build("headers", "int something_else(void) { return 1; }") else {
        return;
    };
    let bytes = fs::read(&path).expect("library");
    let damaged = folder().join("damaged.so");
    for at in 0..1024.min(bytes.len()) {
        for value in [0x00, 0x7f, 0xff] {
            let mut copy = bytes.clone();
            copy[at] = value;
            fs::write(&damaged, copy).expect("damaged");
            probe(&damaged, 17, DEADLINE).expect_err("no such library");
        }
    }
}

#[test]
fn an_old_version_is_named() {
    let body = r#"
        static const void *api(uint32_t v) { _exit(77); }
        static const char *version(void) { return "1.10.0"; }
    "#;
    let Some(path) = fake("old", body) else {
        return;
    };
    let error = probe(&path, 17, DEADLINE).expect_err("too old");
    assert!(
        matches!(&error, ProbeError::TooOld { version, .. } if version == "1.10.0"),
        "{error}"
    );
    assert!(
        error
            .to_string()
            .contains("ONNX Runtime 1.10.0: 1.17 or newer is needed"),
        "{error}"
    );
}

#[test]
fn a_version_without_its_interface_is_refused() {
    let none = "static const void *api(uint32_t v) { return 0; }";
    for (name, version) in [
        ("nothing", "return \"1.30.0\";"),
        ("silent", "return 0;"),
        ("words", "return \"soon\";"),
    ] {
        let body = format!("{none} static const char *version(void) {{ {version} }}");
        let Some(path) = fake(name, &body) else {
            return;
        };
        let error = probe(&path, 17, DEADLINE).expect_err("no interface");
        let expected = match name {
            "nothing" => matches!(error, ProbeError::NoInterface { .. }),
            "silent" => matches!(error, ProbeError::NotOnnxRuntime { .. }),
            _ => matches!(error, ProbeError::TooOld { .. }),
        };
        assert!(expected, "{name}: {error}");
    }
}

/// One that sleeps far longer than the deadline while it is loaded.
const HANGS: &str = r#"
    __attribute__((constructor)) static void forever(void) { sleep(SECONDS); }
    static const void *api(uint32_t v) { return 0; }
    static const char *version(void) { return "1.30.0"; }
"#;

#[test]
fn a_library_that_hangs_costs_the_deadline_and_leaves_the_process_sound() {
    let Some(path) = fake("hanging", &HANGS.replace("SECONDS", "120")) else {
        return;
    };
    let (before, short) = (Instant::now(), Duration::from_millis(300));
    let error = probe(&path, 17, short).expect_err("hangs");
    assert!(matches!(error, ProbeError::TimedOut { .. }), "{error}");
    // What waits for the loader waits for nothing: another library, a thread with a destructor.
    let good = "static const void *api(uint32_t v) { return \"\"; } static const char *version(void) { return \"1.30.0\"; }";
    let Some(good) = fake("good", good) else {
        return;
    };
    assert!(probe(&good, 17, DEADLINE).is_ok(), "another library");
    thread_local! {
        static WITH_DESTRUCTOR: std::cell::RefCell<Vec<u8>> = const { std::cell::RefCell::new(Vec::new()) };
    }
    let thread = std::thread::spawn(|| WITH_DESTRUCTOR.with_borrow_mut(|bytes| bytes.push(1)));
    thread.join().expect("a thread");
    // A quarter of what the library sleeps.
    assert!(
        before.elapsed() < Duration::from_secs(30),
        "{:?}",
        before.elapsed()
    );
}

#[test]
fn a_library_that_crashes_does_so_elsewhere() {
    for (name, how) in [("aborts", "__builtin_trap();"), ("leaves", "_exit(3);")] {
        let body = HANGS.replace("sleep(SECONDS);", how);
        let Some(path) = fake(name, &body) else {
            return;
        };
        let error = probe(&path, 17, DEADLINE).expect_err("crashes");
        assert!(
            matches!(error, ProbeError::Crashes { .. }),
            "{name}: {error}"
        );
    }
}

/// What the next test does in a process of its own, because it spoils the loader.
#[test]
fn a_child_that_cannot_rehearse() {
    let Some(path) = std::env::var_os("LISTENKIT_HANGING") else {
        return;
    };
    let before = Instant::now();
    let error = probe(Path::new(&path), 17, Duration::from_millis(300)).expect_err("hangs");
    let took = before.elapsed();
    assert!(matches!(error, ProbeError::TimedOut { .. }), "{error}");
    // Half of what the library sleeps.
    assert!(took < Duration::from_millis(2500), "{took:?}");
}

/// A path that cannot be preloaded is opened at once; the error still comes in time.
#[test]
fn a_library_that_hangs_here_costs_the_deadline_too() {
    let Some(path) = fake("hanging here", &HANGS.replace("SECONDS", "5")) else {
        return;
    };
    let status = Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", "a_child_that_cannot_rehearse"])
        .env("LISTENKIT_HANGING", path)
        .status()
        .expect("the child runs");
    assert!(status.success(), "{status}");
}
