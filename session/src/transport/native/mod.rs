//! Rooms without LiveKit's media library.

mod data;
