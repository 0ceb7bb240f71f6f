//! The library's C functions, and all of the `unsafe` that calls them.

use std::ffi::{CString, c_char};
use std::path::Path;
use std::ptr;

use libloading::Library;

type InitializeFn = unsafe extern "C" fn(
    callback: unsafe extern "C" fn(*const u8, usize),
    capture_logs: bool,
    sdk: *const c_char,
    sdk_version: *const c_char,
);
type RequestFn = unsafe extern "C" fn(*const u8, usize, *mut *const u8, *mut usize) -> u64;
type DropHandleFn = unsafe extern "C" fn(u64) -> bool;
type BuildVersionFn = unsafe extern "C" fn(*mut CallStatus) -> RustBuffer;
type FreeBufferFn = unsafe extern "C" fn(RustBuffer, *mut CallStatus);

/// UniFFI's buffer (contract 30).
#[repr(C)]
struct RustBuffer {
    capacity: u64,
    len: u64,
    data: *mut u8,
}

/// UniFFI's report of a call. A code other than 0 is a failure.
#[repr(C)]
struct CallStatus {
    code: i8,
    error: RustBuffer,
}

impl CallStatus {
    const fn new() -> Self {
        Self {
            code: 0,
            error: RustBuffer {
                capacity: 0,
                len: 0,
                data: ptr::null_mut(),
            },
        }
    }
}

/// The functions of a library that is open and stays so.
#[derive(Debug)]
pub(crate) struct Functions {
    initialize: InitializeFn,
    request: RequestFn,
    drop_handle: DropHandleFn,
}

/// A file that the system's loader has opened.
pub(crate) struct Opened {
    library: Library,
    /// What it says its version is; `None` if it does not say, as those before 0.12.60 or so.
    pub(crate) version: Option<String>,
}

impl Opened {
    /// Opens a library and asks for its version.
    pub(crate) fn open(path: &Path) -> Result<Self, libloading::Error> {
        // SAFETY: opening a library runs its initialisers. The path is the user's choice, or inside an installed `livekit` package, whose
        // library has none but the C++ runtime's.
        let library = unsafe { Library::new(path) }?;
        let version = version_of(&library);
        Ok(Self { library, version })
    }

    /// Its functions. The library is never closed again, because its threads run until the process ends.
    pub(crate) fn functions(self) -> Result<Functions, libloading::Error> {
        // SAFETY: the types are those of the C interface, which is the same in every version that is accepted.
        let functions = unsafe {
            Functions {
                initialize: *self
                    .library
                    .get::<InitializeFn>(b"livekit_ffi_initialize\0")?,
                request: *self.library.get::<RequestFn>(b"livekit_ffi_request\0")?,
                drop_handle: *self
                    .library
                    .get::<DropHandleFn>(b"livekit_ffi_drop_handle\0")?,
            }
        };
        std::mem::forget(self.library);
        Ok(functions)
    }
}

fn version_of(library: &Library) -> Option<String> {
    // SAFETY: the types are UniFFI's, the same since its first stable contract.
    let (build_version, free) = unsafe {
        (
            *library
                .get::<BuildVersionFn>(b"uniffi_livekit_ffi_fn_func_build_version\0")
                .ok()?,
            *library
                .get::<FreeBufferFn>(b"ffi_livekit_ffi_rustbuffer_free\0")
                .ok()?,
        )
    };
    let mut status = CallStatus::new();
    // SAFETY: `status` lives through the call; the function takes nothing else.
    let buffer = unsafe { build_version(&mut status) };
    if status.code != 0 || buffer.data.is_null() {
        return None;
    }
    // A version is a dozen bytes: more is no version.
    let len = usize::try_from(buffer.len).ok().filter(|len| *len < 256)?;
    // SAFETY: the buffer is the library's own, `len` bytes long, and alive until it is freed below.
    let bytes = unsafe { std::slice::from_raw_parts(buffer.data, len) }.to_vec();
    let mut status = CallStatus::new();
    // SAFETY: the buffer came from this library and is freed once.
    unsafe { free(buffer, &mut status) };
    String::from_utf8(bytes).ok()
}

impl Functions {
    /// Starts the library. `callback` will be called from threads of its own, until the process ends.
    pub(crate) fn initialize(
        &self,
        callback: unsafe extern "C" fn(*const u8, usize),
        capture_logs: bool,
        sdk: &str,
        version: &str,
    ) {
        let sdk = CString::new(sdk).unwrap_or_default();
        let version = CString::new(version).unwrap_or_default();
        // SAFETY: both strings end with 0 and outlive the call, in which the library copies them. The callback is a function of this crate.
        unsafe { (self.initialize)(callback, capture_logs, sdk.as_ptr(), version.as_ptr()) };
    }

    /// One request, encoded, and its encoded answer; `None` if it was refused. Pointers inside the request must be good for what it asks.
    ///
    /// # Safety
    /// A pointer in the request must be readable over its length until the request's callback has come.
    pub(crate) unsafe fn request(&self, request: &[u8]) -> Option<Vec<u8>> {
        let mut data = ptr::null();
        let mut len = 0;
        // SAFETY: the request is readable over its length, the two results are writable, and pointers inside are the caller's promise.
        let handle =
            unsafe { (self.request)(request.as_ptr(), request.len(), &mut data, &mut len) };
        if handle == 0 {
            return None;
        }
        let answer = if data.is_null() {
            Vec::new()
        } else {
            // SAFETY: the answer is `len` bytes long and alive until its handle is dropped, below.
            unsafe { std::slice::from_raw_parts(data, len) }.to_vec()
        };
        self.drop_handle(handle);
        Some(answer)
    }

    /// Gives a handle back; `false` if the library does not know it.
    pub(crate) fn drop_handle(&self, id: u64) -> bool {
        // SAFETY: any number may be given; the library looks it up.
        unsafe { (self.drop_handle)(id) }
    }
}

/// Copies `len` values from the library's memory.
///
/// # Safety
/// `address` must be that of `len` values that nobody writes meanwhile: the handle they came with is still held.
pub(crate) unsafe fn copy_out<T: Copy>(address: u64, len: usize) -> Vec<T> {
    let Ok(address) = usize::try_from(address) else {
        return Vec::new();
    };
    if address == 0 || len == 0 || address % align_of::<T>() != 0 {
        return Vec::new();
    }
    // SAFETY: not null, aligned, and readable over `len` values by the caller's promise.
    unsafe { std::slice::from_raw_parts(ptr::with_exposed_provenance::<T>(address), len) }.to_vec()
}
