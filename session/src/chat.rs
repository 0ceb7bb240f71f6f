//! The history of a conversation.

use std::sync::Arc;
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

impl ChatItem {
    fn is_instructions(&self) -> bool {
        let Self::Message(message) = self;
        message.role == Role::System
    }
}

/// The history of a conversation, oldest first. Cloning shares it; the next change of a clone that is shared copies it.
#[derive(Clone, Debug, Default)]
pub struct ChatContext {
    items: Arc<Vec<ChatItem>>,
}

impl PartialEq for ChatContext {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.items, &other.items) || self.items == other.items
    }
}

impl ChatContext {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds to the end.
    pub fn push(&mut self, message: ChatMessage) {
        Arc::make_mut(&mut self.items).push(ChatItem::Message(message));
    }

    /// Adds before the entry with this number; to the end if there are fewer.
    pub fn insert(&mut self, index: usize, message: ChatMessage) {
        let index = index.min(self.items.len());
        Arc::make_mut(&mut self.items).insert(index, ChatItem::Message(message));
    }

    /// Puts instructions in front, in the place of those that are there.
    pub fn set_instructions(&mut self, instructions: impl Into<String>) {
        let message = ChatItem::Message(ChatMessage::new(Role::System, instructions));
        let items = Arc::make_mut(&mut self.items);
        match items.first_mut() {
            Some(first) if first.is_instructions() => *first = message,
            _ => items.insert(0, message),
        }
    }

    /// Forgets the oldest entries beyond `len`. Instructions stay, and are not counted.
    pub fn truncate(&mut self, len: usize) {
        let kept = usize::from(self.items.first().is_some_and(ChatItem::is_instructions));
        let excess = self.items.len().saturating_sub(kept + len);
        if excess > 0 {
            Arc::make_mut(&mut self.items).drain(kept..kept + excess);
        }
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
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

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(context: &ChatContext) -> Vec<&str> {
        context.messages().map(|m| m.text.as_str()).collect()
    }

    #[test]
    fn a_clone_does_not_see_later_messages() {
        let mut context = ChatContext::new();
        context.push(ChatMessage::new(Role::User, "one"));
        let before = context.clone();
        context.push(ChatMessage::new(Role::Assistant, "two"));
        assert_eq!(texts(&before), ["one"]);
        assert_eq!(texts(&context), ["one", "two"]);
        assert_ne!(before, context);
    }

    #[test]
    fn instructions_stay_in_front_and_are_there_once() {
        let mut context = ChatContext::new();
        context.push(ChatMessage::new(Role::User, "one"));
        context.set_instructions("be brief");
        context.set_instructions("be very brief");
        context.push(ChatMessage::new(Role::Assistant, "two"));
        context.push(ChatMessage::new(Role::User, "three"));
        context.truncate(2);
        assert_eq!(texts(&context), ["be very brief", "two", "three"]);
        context.truncate(5);
        assert_eq!(context.len(), 3);
    }
}
