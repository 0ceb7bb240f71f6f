//! From a conversation to the text a model was trained on: which messages, in which words, between which markers.

use super::super::chat::{ChatMessage, ChatRole};
use std::borrow::Cow;
use unicode_normalization::UnicodeNormalization as _;
use unicode_properties::{GeneralCategoryGroup, UnicodeGeneralCategory as _};

/// How a model wants its conversations written: what stands around a message.
///
/// This is what a `chat_template` in `tokenizer_config.json` comes to for plain messages. Templates are programs (Jinja) and are not
/// run here; the two below cover LiveKit's models and the models of the ChatML family, and any other of this shape can be given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChatTemplate {
    /// Before the first message: a beginning-of-text token, or the system message that the template puts in by itself.
    pub start: Cow<'static, str>,
    /// Before the role of a message.
    pub before_role: Cow<'static, str>,
    /// Between its role (`user`, `assistant`) and its content.
    pub before_content: Cow<'static, str>,
    /// The token that ends a message. The last message is left without it: whether it comes is the question.
    pub end: Cow<'static, str>,
    /// Between that token and the next message.
    pub after: Cow<'static, str>,
}

impl ChatTemplate {
    /// `<|im_start|>role`, a line break, the content, `<|im_end|>` and a line break: ChatML as Qwen writes it, and what LiveKit's
    /// multilingual model logs as its input.
    pub const CHATML: Self = Self {
        start: Cow::Borrowed(""),
        before_role: Cow::Borrowed("<|im_start|>"),
        before_content: Cow::Borrowed("\n"),
        end: Cow::Borrowed("<|im_end|>"),
        after: Cow::Borrowed("\n"),
    };

    /// `<|im_start|><|role|>content<|im_end|>`, without line breaks: what LiveKit's English model logs as its input
    /// (livekit/agents-js pull request 526).
    pub const LIVEKIT_ENGLISH: Self = Self {
        start: Cow::Borrowed(""),
        before_role: Cow::Borrowed("<|im_start|><|"),
        before_content: Cow::Borrowed("|>"),
        end: Cow::Borrowed("<|im_end|>"),
        after: Cow::Borrowed(""),
    };
}

/// Bytes of one turn that are looked at, from its end: 128 tokens and more for any token of up to 256 bytes. A transcript is never that
/// long; what a caller may send must not decide how long the model's thread is busy.
const MAX_CONTENT: usize = 32 << 10;

/// Turns of one side, ready for the template.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Turn {
    role: ChatRole,
    content: String,
}

/// The last `max_messages` messages that were said aloud, those of one side in a row put together.
pub(super) fn turns(
    messages: &[ChatMessage<'_>],
    max_messages: usize,
    normalised: bool,
) -> Vec<Turn> {
    let spoken = |message: &&ChatMessage<'_>| {
        matches!(message.role, ChatRole::User | ChatRole::Assistant) && !message.content.is_empty()
    };
    let mut last: Vec<_> = messages
        .iter()
        .rev()
        .filter(spoken)
        .take(max_messages)
        .collect();
    last.reverse();
    let mut turns: Vec<Turn> = Vec::with_capacity(last.len());
    for message in last {
        let content = tail(message.content);
        let content = if normalised {
            normalise(content)
        } else {
            content.to_owned()
        };
        match turns.last_mut() {
            // Also where nothing is left of the content: the models were trained so.
            Some(turn) if turn.role == message.role => {
                turn.content.push(' ');
                turn.content.push_str(&content);
            }
            _ => turns.push(Turn {
                role: message.role,
                content,
            }),
        }
    }
    turns
}

/// The end of `content`, if it is longer than any model reads.
fn tail(content: &str) -> &str {
    let mut from = content.len().saturating_sub(MAX_CONTENT);
    while !content.is_char_boundary(from) {
        from += 1;
    }
    &content[from..]
}

/// Lower case, NFKC, no punctuation but `'` and `-`, single spaces: what the multilingual model was trained on.
pub(super) fn normalise(text: &str) -> String {
    let mut normalised = String::with_capacity(text.len());
    let mut space = false;
    for c in text.to_lowercase().nfkc() {
        if is_space(c) {
            space = true;
        } else if c == '\''
            || c == '-'
            || c.general_category_group() != GeneralCategoryGroup::Punctuation
        {
            if space && !normalised.is_empty() {
                normalised.push(' ');
            }
            space = false;
            normalised.push(c);
        }
    }
    normalised
}

/// White space as Python's `\s` has it: Unicode's, and the four separators of ASCII.
fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

/// The prompt in pieces, each of which is tokenised alone: the words of a turn, the marks between turns. The last turn has no end.
pub(super) fn pieces(turns: &[Turn], template: &ChatTemplate) -> Vec<String> {
    let mut pieces = Vec::with_capacity(2 * turns.len());
    if !template.start.is_empty() {
        pieces.push(template.start.clone().into_owned());
    }
    for (k, turn) in turns.iter().enumerate() {
        if k > 0 {
            pieces.push([&*template.end, &*template.after].concat());
        }
        let role = match turn.role {
            ChatRole::Assistant => "assistant",
            _ => "user",
        };
        pieces.push(
            [
                &template.before_role,
                role,
                &template.before_content,
                &turn.content,
            ]
            .concat(),
        );
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;
    use ChatMessage as M;

    fn text(messages: &[M<'_>], normalised: bool, template: &ChatTemplate) -> String {
        pieces(&turns(messages, 6, normalised), template).concat()
    }

    #[test]
    fn the_prompts_are_those_in_livekits_logs() {
        // The multilingual model's log has these very lines (1.x agents, debug level).
        let conversation = [
            M::assistant("Hello, how can I help you today?"),
            M::user("What's your name?"),
        ];
        assert_eq!(
            text(&conversation, true, &ChatTemplate::CHATML),
            "<|im_start|>assistant\nhello how can i help you today<|im_end|>\n<|im_start|>user\nwhat's your name"
        );
        // And the English one's these (agents-js, pull request 526).
        let conversation = [
            M::assistant("Hello, how can I help you today?"),
            M::user("Hey. How's it going?"),
        ];
        assert_eq!(
            text(&conversation, false, &ChatTemplate::LIVEKIT_ENGLISH),
            "<|im_start|><|assistant|>Hello, how can I help you today?<|im_end|><|im_start|><|user|>Hey. How's it going?"
        );
    }

    #[test]
    fn words_are_kept_and_punctuation_goes() {
        for (said, expected) in [
            ("  Hello,   WORLD!\t\u{1d}ok\n", "hello world ok"),
            ("don't — don’t", "don't dont"),
            (
                "half-past $4.99 + 20% = #1 @ a/b & c",
                "half-past $499 + 20 = 1 ab c",
            ),
            ("１２３ ﬁne ﾃﾞｰﾀ ²", "123 fine データ 2"),
            ("¿Qué? «Да» 「はい」。", "qué да はい"),
            ("ΟΔΟΣ ΣΟΦΟΣ", "οδος σοφος"),
            ("İSTANBUL", "i\u{307}stanbul"),
            ("?!…", ""),
            ("...a", "a"),
            ("👋🏽 ok", "👋🏽 ok"),
        ] {
            assert_eq!(normalise(said), expected, "{said}");
        }
    }

    #[test]
    fn six_messages_that_were_heard_are_kept_and_merged() {
        let system = M {
            role: ChatRole::System,
            content: "Be kind.",
        };
        let tool = M {
            role: ChatRole::Tool,
            content: "{}",
        };
        let said = [
            system,
            M::user("one"),
            M::assistant("two"),
            tool,
            M::user("three"),
            M::user(""),
            M::user("!"),
            M::user("four"),
            M::assistant("five"),
            M::user("six"),
        ];
        // The six last of: one two three ! four five six.
        assert_eq!(
            text(&said, true, &ChatTemplate::CHATML),
            "<|im_start|>assistant\ntwo<|im_end|>\n<|im_start|>user\nthree  four<|im_end|>\n\
             <|im_start|>assistant\nfive<|im_end|>\n<|im_start|>user\nsix"
        );
        assert!(turns(&[system, tool, M::user("")], 6, true).is_empty());
        assert_eq!(
            text(&[M::user("!?")], true, &ChatTemplate::CHATML),
            "<|im_start|>user\n"
        );
    }

    #[test]
    fn no_letter_is_lost_where_a_template_ends_turns_another_way() {
        let template = ChatTemplate {
            start: "<s>".into(),
            before_role: "[".into(),
            before_content: "]".into(),
            end: "</s>".into(),
            after: "".into(),
        };
        assert_eq!(
            text(&[M::user("a"), M::assistant("b")], false, &template),
            "<s>[user]a</s>[assistant]b"
        );
        let endless = ChatTemplate {
            end: "".into(),
            ..template
        };
        assert_eq!(
            text(&[M::user("a"), M::assistant("b")], false, &endless),
            "<s>[user]a[assistant]b"
        );
    }

    #[test]
    fn endless_talk_is_cut_at_a_letter() {
        let long = "é".repeat(MAX_CONTENT);
        let kept = tail(&long);
        assert!(kept.len() <= MAX_CONTENT && kept.len() > MAX_CONTENT - 2);
        assert_eq!(tail("short"), "short");
    }
}
