//! Server API.
