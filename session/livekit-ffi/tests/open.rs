//! Opening what is no library, or not the right one. The libraries are stubs made here by the compiler that builds the tests.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use listenkit_livekit_ffi::messages::{GetStatsRequest, Request};
use listenkit_livekit_ffi::{Client, OpenError};

struct Directory(PathBuf);

impl Directory {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("listenkit-open-{}", std::process::id()));
        fs::create_dir_all(&path).expect("the temporary directory is writable");
        Self(path)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A library with the C functions, which says that it is of this version; `None`: it says nothing, as old ones do.
fn stub(directory: &Path, name: &str, version: Option<&str>) -> PathBuf {
    let says = version.map_or(String::new(), |version| {
        format!(
            r#"
#[repr(C)] pub struct Buffer {{ capacity: u64, len: u64, data: *mut u8 }}
#[no_mangle] pub extern "C" fn uniffi_livekit_ffi_fn_func_build_version(_: *mut u8) -> Buffer {{
    let mut text = String::from("{version}").into_bytes();
    let buffer = Buffer {{ capacity: text.capacity() as u64, len: text.len() as u64, data: text.as_mut_ptr() }};
    std::mem::forget(text);
    buffer
}}
#[no_mangle] pub unsafe extern "C" fn ffi_livekit_ffi_rustbuffer_free(b: Buffer, _: *mut u8) {{
    drop(Vec::from_raw_parts(b.data, b.len as usize, b.capacity as usize));
}}
"#
        )
    });
    let source = format!(
        r#"
#[no_mangle] pub extern "C" fn livekit_ffi_initialize(_: *const u8, _: bool, _: *const u8, _: *const u8) {{}}
#[no_mangle] pub extern "C" fn livekit_ffi_request(_: *const u8, _: usize, _: *mut *const u8, _: *mut usize) -> u64 {{ 0 }}
#[no_mangle] pub extern "C" fn livekit_ffi_drop_handle(_: u64) -> bool {{ false }}
{says}"#
    );
    let file = directory.join(format!("{name}.rs"));
    let library = directory.join(format!("{name}.so"));
    fs::write(&file, source).expect("writable");
    let status = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()))
        .args(["--edition=2021", "--crate-type=cdylib", "-o"])
        .arg(&library)
        .arg(&file)
        .status()
        .expect("the compiler runs");
    assert!(status.success());
    library
}

#[test]
fn what_cannot_be_used_is_refused_with_its_reason() {
    let directory = Directory::new();
    let text = directory.0.join("text.so");
    fs::write(&text, "this is no library").expect("writable");
    let error = Client::open(Some(&text)).expect_err("no library");
    assert!(matches!(error, OpenError::Refused { .. }), "{error}");

    let old = stub(&directory.0, "old", Some("0.12.44"));
    let error = Client::open(Some(&old)).expect_err("too old");
    assert!(
        matches!(&error, OpenError::TooOld { version: Some(v), .. } if v == "0.12.44"),
        "{error}"
    );
    assert!(
        error.to_string().contains("0.12.74") && error.to_string().contains("pip install"),
        "{error}"
    );
    let silent = stub(&directory.0, "silent", None);
    let error = Client::open(Some(&silent)).expect_err("too old");
    assert!(
        matches!(error, OpenError::TooOld { version: None, .. }),
        "{error}"
    );

    // After all of these, a good one; it is newer than what is known, and taken.
    let newer = stub(&directory.0, "newer", Some("0.14.1"));
    let client = Client::open(Some(&newer)).expect("taken");
    assert_eq!(client.version(), "0.14.1");
    assert!(std::ptr::eq(
        client,
        Client::open(None).expect("the one that is open")
    ));
    assert!(std::ptr::eq(
        client,
        Client::open(Some(&newer)).expect("the same")
    ));
    let other = stub(&directory.0, "other", Some("0.13.2"));
    let error = Client::open(Some(&other)).expect_err("there can be only one");
    assert!(matches!(error, OpenError::Another { .. }), "{error}");

    // The library numbers callbacks by itself, from 1, where a request has no number.
    let mut number = 0;
    let refused = client.call(|id| {
        number = id;
        Request::GetStats(GetStatsRequest {
            track_handle: 0,
            request_async_id: Some(id),
        })
    });
    assert!(refused.is_err(), "the stub refuses everything");
    assert!(number > u64::from(u32::MAX), "{number}");
}
