//! The history of a conversation.

use std::time::SystemTime;

/// Who said it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Instructions.
    System,
    /// The human.
    User,
    /// The agent.
    Assistant,
}

impl Role {
    /// The name that chat APIs use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::User => "user",
            Self::Assistant => "assistant",
        }
    }
}

/// Something said.
#[derive(Clone, Debug, PartialEq)]
pub struct ChatMessage {
    /// `item_` and twelve letters.
    pub id: String,
    /// Who.
    pub role: Role,
    /// What. Of an interrupted agent only what was heard.
    pub text: String,
    /// Whether the user cut it off.
    pub interrupted: bool,
    /// When it was added.
    pub created_at: SystemTime,
}

impl ChatMessage {
    /// A message of now.
    pub fn new(role: Role, text: impl Into<String>) -> Self {
        Self {
            id: crate::chat::id("item_"),
            role,
            text: text.into(),
            interrupted: false,
            created_at: SystemTime::now(),
        }
    }
}

/// An entry of the history.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum ChatItem {
    /// Something said.
    Message(ChatMessage),
}

/// The history of a conversation, oldest first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ChatContext {
    items: Vec<ChatItem>,
}

impl ChatContext {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds to the end.
    pub fn push(&mut self, message: ChatMessage) {
        self.items.push(ChatItem::Message(message));
    }

    /// All entries.
    pub fn items(&self) -> &[ChatItem] {
        &self.items
    }

    /// The messages.
    pub fn messages(&self) -> impl DoubleEndedIterator<Item = &ChatMessage> {
        self.items.iter().map(|item| match item {
            ChatItem::Message(message) => message,
        })
    }
}

/// A random name with `prefix`: twelve letters and digits, 71 bits.
pub(crate) fn id(prefix: &str) -> String {
    let tail = std::iter::repeat_with(fastrand::alphanumeric).take(12);
    prefix.chars().chain(tail).collect()
}
