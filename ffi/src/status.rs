//! What a call says about itself: one number, and a text for people.

use std::ffi::{CStr, c_char};
use std::fmt::{self, Write};

use engine::{ConfigError, InputError, ModelError};

/// What a call says: 0 is success, above 0 nothing went wrong but there is nothing to give, below 0 it failed and changed nothing.
///
/// Numbers are never reused. A program should treat one it does not know by its sign.
#[allow(non_camel_case_types)]
pub type listenkit_status = i32;

/// The call did what it says.
pub const LISTENKIT_OK: i32 = 0;
/// Nothing went wrong, but there is nothing to give: no event is waiting, no turn is open.
pub const LISTENKIT_EMPTY: i32 = 1;
/// Nothing went wrong, but there is nothing to give and never will be: the stream is over.
pub const LISTENKIT_ENDED: i32 = 2;
/// A pointer that must not be NULL is NULL.
pub const LISTENKIT_NULL_POINTER: i32 = -1;
/// `struct_size` was not set, is smaller than the first version of the struct, or the struct sets something this library does not know.
pub const LISTENKIT_STRUCT_SIZE: i32 = -2;
/// A setting is out of range or contradicts another; the detail names it.
pub const LISTENKIT_CONFIG: i32 = -3;
/// The block has a wrong length or format, or lies where the results would; nothing of it was taken.
pub const LISTENKIT_INPUT: i32 = -4;
/// Events of an earlier call have to be polled first.
pub const LISTENKIT_OUTPUTS_WAITING: i32 = -5;
/// The weights cannot be used; the detail says why.
pub const LISTENKIT_MODEL: i32 = -6;
/// Neither the library nor the model set holds these weights.
pub const LISTENKIT_NO_MODEL: i32 = -7;
/// A file cannot be read.
pub const LISTENKIT_IO: i32 = -8;
/// The caller's buffer is too small; nothing was written.
pub const LISTENKIT_BUFFER_TOO_SMALL: i32 = -9;
/// A length that no buffer can have: most often a negative number that became unsigned.
pub const LISTENKIT_TOO_LONG: i32 = -10;
/// A pointer is not aligned for what it points to.
pub const LISTENKIT_MISALIGNED: i32 = -11;
/// Another thread is inside a call on this handle.
pub const LISTENKIT_BUSY: i32 = -12;
/// An earlier call on this handle hit a bug in the library: only `free` is left.
pub const LISTENKIT_POISONED: i32 = -13;
/// This call hit a bug in the library. The handle is poisoned; please report it.
pub const LISTENKIT_PANICKED: i32 = -14;
/// The pointer is no live handle of this type. Found as far as that is possible.
pub const LISTENKIT_WRONG_HANDLE: i32 = -15;
/// The audio asked for is no longer kept.
pub const LISTENKIT_OVERWRITTEN: i32 = -16;
/// A number that stands for a choice is none of the choices.
pub const LISTENKIT_VALUE: i32 = -17;
/// A text is not UTF-8.
pub const LISTENKIT_UTF8: i32 = -18;

/// What a status means, in a sentence. Static, never NULL, also for numbers that are no status.
#[unsafe(no_mangle)]
pub extern "C" fn listenkit_status_str(status: listenkit_status) -> *const c_char {
    sentence(status).as_ptr()
}

pub(crate) const fn sentence(status: listenkit_status) -> &'static CStr {
    match status {
        LISTENKIT_OK => c"ok",
        LISTENKIT_EMPTY => c"nothing to give",
        LISTENKIT_ENDED => c"nothing to give any more",
        LISTENKIT_NULL_POINTER => c"a pointer is NULL that must not be",
        LISTENKIT_STRUCT_SIZE => c"struct_size is not set, or does not fit this library",
        LISTENKIT_CONFIG => c"a setting is out of range",
        LISTENKIT_INPUT => c"the block has a wrong length or format",
        LISTENKIT_OUTPUTS_WAITING => c"events are waiting: poll them first",
        LISTENKIT_MODEL => c"the weights cannot be used",
        LISTENKIT_NO_MODEL => c"these weights are not in the library or the model set",
        LISTENKIT_IO => c"a file cannot be read",
        LISTENKIT_BUFFER_TOO_SMALL => c"the buffer is too small",
        LISTENKIT_TOO_LONG => c"a length is larger than any buffer",
        LISTENKIT_MISALIGNED => c"a pointer is not aligned for its type",
        LISTENKIT_BUSY => c"another thread is using this handle",
        LISTENKIT_POISONED => c"an earlier call failed inside the library: free this handle",
        LISTENKIT_PANICKED => c"the library hit a bug of its own: please report it",
        LISTENKIT_WRONG_HANDLE => c"the pointer is no live handle of this type",
        LISTENKIT_OVERWRITTEN => c"the audio asked for is no longer kept",
        LISTENKIT_VALUE => c"a number stands for none of the choices",
        LISTENKIT_UTF8 => c"a text is not UTF-8",
        _ => c"no status of listenkit",
    }
}

/// Bytes of a `listenkit_detail`.
pub const LISTENKIT_DETAIL_LEN: usize = 256;

/// Why a function that makes something refused. The caller's own; written only when the call fails, and always ended by a NUL.
#[repr(C)]
#[derive(Clone, Copy)]
#[allow(non_camel_case_types)]
pub struct listenkit_detail {
    /// UTF-8: what was expected, what came, what to do.
    pub text: [c_char; LISTENKIT_DETAIL_LEN],
}

/// A text in fixed memory, ended by a NUL and cut between characters. Failing must not allocate.
#[derive(Clone, Copy)]
pub(crate) struct Text {
    bytes: [u8; LISTENKIT_DETAIL_LEN],
    len: usize,
}

impl Text {
    pub(crate) const EMPTY: Self = Self {
        bytes: [0; LISTENKIT_DETAIL_LEN],
        len: 0,
    };

    pub(crate) fn of(text: impl fmt::Display) -> Self {
        let mut this = Self::EMPTY;
        // Too long a text is cut, which is no failure.
        let _ = write!(this, "{text}");
        this
    }

    pub(crate) const fn as_c_str(&self) -> *const c_char {
        self.bytes.as_ptr().cast()
    }

    pub(crate) fn to_c(self) -> [c_char; LISTENKIT_DETAIL_LEN] {
        self.bytes.map(|byte| byte as c_char)
    }
}

impl Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut take = text.len().min(LISTENKIT_DETAIL_LEN - 1 - self.len);
        while !text.is_char_boundary(take) {
            take -= 1;
        }
        self.bytes[self.len..self.len + take].copy_from_slice(&text.as_bytes()[..take]);
        self.len += take;
        Ok(())
    }
}

/// Why a call failed.
pub(crate) struct Failure {
    pub(crate) status: listenkit_status,
    pub(crate) text: Text,
}

impl Failure {
    pub(crate) fn new(status: listenkit_status, text: impl fmt::Display) -> Self {
        Self {
            status,
            text: Text::of(text),
        }
    }

    pub(crate) fn null(name: &str) -> Self {
        Self::new(LISTENKIT_NULL_POINTER, format_args!("{name} is NULL"))
    }

    pub(crate) fn value(name: &str, given: u32, choices: &str) -> Self {
        let text = format_args!("{name} is {given}: use {choices}");
        Self::new(LISTENKIT_VALUE, text)
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::new(LISTENKIT_CONFIG, error)
    }
}

impl From<InputError> for Failure {
    fn from(error: InputError) -> Self {
        let status = match error {
            InputError::OutputsWaiting { .. } => LISTENKIT_OUTPUTS_WAITING,
            _ => LISTENKIT_INPUT,
        };
        Self::new(status, error)
    }
}

impl From<ModelError> for Failure {
    fn from(error: ModelError) -> Self {
        Self::new(LISTENKIT_MODEL, error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_between_characters_and_ended() {
        let long = "é".repeat(200);
        for before in ["", "x"] {
            let text = Text::of(format_args!("{before}{long}{long}")).to_c();
            let bytes = text.map(|byte| byte as u8);
            let end = bytes.iter().position(|&byte| byte == 0).expect("a NUL");
            let kept = std::str::from_utf8(&bytes[..end]).expect("whole characters");
            assert_eq!(kept.chars().count(), 127 + before.len());
            assert!(bytes[end..].iter().all(|&byte| byte == 0));
        }
    }
}
