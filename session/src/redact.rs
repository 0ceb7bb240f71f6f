//! Tokens stay out of errors and logs. The filter is where the media library's logs come in.

pub(crate) use listenkit_livekit_ffi::without_tokens;
