//! The listening half of a voice agent.
