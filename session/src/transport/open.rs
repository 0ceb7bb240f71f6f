//! Which transport a program gets that does not say.

use std::sync::Arc;

use super::ffi::LivekitTransport;
use super::{RoomTransport, TransportError};

/// The transport that the environment names in `LISTENKIT_TRANSPORT`: `native` or `ffi`. Without it, `native` if this program was built with that feature, else `ffi`,
/// LiveKit's media library.
///
/// # Errors
/// [`TransportError::Library`] if it is not built in, or its library is not found, or there is none of that name.
pub fn open() -> Result<Arc<dyn RoomTransport>, TransportError> {
    let wish = std::env::var("LISTENKIT_TRANSPORT").unwrap_or_default();
    named(&wish)
}

fn named(wish: &str) -> Result<Arc<dyn RoomTransport>, TransportError> {
    match wish {
        "" if cfg!(feature = "native") => native(),
        "" => library().map_err(|error| {
            TransportError::Library(format!(
                "{error}. Or build with the feature `native`, which needs no library"
            ))
        }),
        "native" => native(),
        "ffi" => library(),
        other => Err(TransportError::Library(format!(
            "LISTENKIT_TRANSPORT is {other:?}: set it to `native` or `ffi`, or not at all"
        ))),
    }
}

fn library() -> Result<Arc<dyn RoomTransport>, TransportError> {
    Ok(Arc::new(LivekitTransport::open(None)?))
}

#[cfg(feature = "native")]
fn native() -> Result<Arc<dyn RoomTransport>, TransportError> {
    Ok(Arc::new(super::native::NativeTransport::new()))
}

#[cfg(not(feature = "native"))]
fn native() -> Result<Arc<dyn RoomTransport>, TransportError> {
    Err(TransportError::Library(
        "the transport `native` is not built in: build with `--features native`, or set LISTENKIT_TRANSPORT to `ffi`"
            .to_owned(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(wish: &str) -> String {
        named(wish).err().map(|e| e.to_string()).unwrap_or_default()
    }

    #[test]
    fn an_unknown_transport_is_an_error_that_says_what_there_is() {
        let message = message("webrtc");
        assert!(message.contains("webrtc") && message.contains("`native` or `ffi`"));
    }

    #[test]
    fn the_native_transport_is_there_or_says_how_to_get_it() {
        let message = message("native");
        assert_eq!(message.is_empty(), cfg!(feature = "native"), "{message}");
        assert!(message.is_empty() || message.contains("--features native"));
    }
}
