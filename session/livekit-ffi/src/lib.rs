//! LiveKit's media library, `liblivekit_ffi`, opened at run time.
//!
//! The library is the engine of LiveKit's own SDKs: signalling, WebRTC, Opus. It has four C functions; everything else is a message
//! ([`messages`]). This crate finds it ([`Client::open`]), checks its version, and makes it safe: answers and events own the handles that came with
//! them, received audio is copied out, sent audio is kept alive until the library is done with it.
//!
//! What to know about the library:
//! - There is one per process. It is initialised once and never shut down, so rooms can come and go. It cannot be used after `fork`.
//! - It calls back on threads of its own. Nothing here makes them wait: a callback decodes, copies, and puts into a channel.
//! - **It aborts the process** on what it does not expect, such as SDP that it cannot parse. Nothing can be caught. A program with more than one
//!   conversation should give each a process of its own.
//! - It is not part of this project and not shipped with it. `pip install livekit` has one.
//!
//! This crate is apart from the session crate because calling a library needs `unsafe`.

mod client;
mod handle;
mod library;
mod locate;
mod logs;
pub mod messages;
mod redact;
mod router;

pub use client::{Call, CallError, Client, OpenError, RequestError};
pub use handle::{Handle, Incoming};
pub use locate::{LIBRARY_PATH_VARIABLE, find, library_file_name};
pub use redact::without_tokens;
pub use router::{Pcm, RoomInput};
