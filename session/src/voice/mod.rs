//! The conversation: an [`Agent`] and the [`AgentSession`] that runs it.
/// Placeholder.
pub trait Agent: Send + Sync {}
/// Placeholder.
pub struct AgentSession;
