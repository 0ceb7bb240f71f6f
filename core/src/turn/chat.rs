//! What was said in a conversation, as models of text see it.

/// Who said it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChatRole {
    /// Instructions to the agent, which nobody heard.
    System,
    /// The person.
    User,
    /// The agent.
    Assistant,
    /// Calls of tools and their results, which nobody heard.
    Tool,
}

/// One message of a conversation, as plain text: without markup for the voice, pictures or sound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChatMessage<'a> {
    /// Who said it.
    pub role: ChatRole,
    /// What was said.
    pub content: &'a str,
}

impl<'a> ChatMessage<'a> {
    /// Something that the person said.
    pub const fn user(content: &'a str) -> Self {
        Self {
            role: ChatRole::User,
            content,
        }
    }

    /// Something that the agent said.
    pub const fn assistant(content: &'a str) -> Self {
        Self {
            role: ChatRole::Assistant,
            content,
        }
    }
}
