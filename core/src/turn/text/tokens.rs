//! From text to the numbers a model reads, without doing again what was done for the last question.
//!
//! Tokenizers of chat models take the special tokens out of a text first and look at each stretch between them alone. So a prompt
//! that is cut where special tokens stand can be tokenised in pieces, and the pieces of turns that are over can be kept.

use super::TextModelError;
use super::prompt::ChatTemplate;
use tokenizers::Tokenizer;

/// A tokenizer, and whether it may be given a prompt in pieces.
pub(super) struct Encoder {
    tokenizer: Tokenizer,
    in_pieces: bool,
}

/// Texts at whose edges a tokenizer could look across a border: spaces, line breaks, marks that combine, markers.
const EDGES: [&str; 9] = [
    "",
    "a",
    " a ",
    "\n",
    "  ",
    "don't",
    "é\u{301}",
    "।",
    "<|im_end|> b",
];

impl Encoder {
    pub(super) fn new(json: &[u8], template: &ChatTemplate) -> Result<Self, TextModelError> {
        let mut tokenizer =
            Tokenizer::from_bytes(json).map_err(|error| TextModelError::Tokenizer {
                what: error.to_string(),
            })?;
        // The file may ask for either; both are this module's business.
        tokenizer.with_padding(None);
        if let Err(error) = tokenizer.with_truncation(None) {
            return Err(TextModelError::Tokenizer {
                what: error.to_string(),
            });
        }
        if !template.end.is_empty() && tokenizer.token_to_id(&template.end).is_none() {
            return Err(TextModelError::NoToken {
                token: template.end.clone().into_owned(),
            });
        }
        let mut encoder = Self {
            tokenizer,
            in_pieces: false,
        };
        encoder.in_pieces = encoder.pieces_are_enough(template)?;
        Ok(encoder)
    }

    /// Whether prompts come out the same whole and in pieces.
    fn pieces_are_enough(&self, template: &ChatTemplate) -> Result<bool, TextModelError> {
        let start = template.start.clone().into_owned();
        let turn = |content| {
            [
                &template.before_role,
                "user",
                &template.before_content,
                content,
            ]
            .concat()
        };
        let end = [&*template.end, &*template.after].concat();
        for first in EDGES {
            for second in EDGES {
                let pieces = [start.clone(), turn(first), end.clone(), turn(second)];
                let mut together = Vec::new();
                for piece in &pieces {
                    together.extend(self.ids(piece)?);
                }
                if together != self.ids(&pieces.concat())? {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    pub(super) fn token(&self, token: &str) -> Option<u32> {
        self.tokenizer.token_to_id(token)
    }

    /// The numbers of `text`, with no special token added.
    fn ids(&self, text: &str) -> Result<Vec<u32>, TextModelError> {
        let encoding = self.tokenizer.encode_fast(text, false);
        let encoding = encoding.map_err(|error| TextModelError::Tokenizer {
            what: error.to_string(),
        })?;
        Ok(encoding.get_ids().to_vec())
    }
}

/// The pieces of one conversation's last prompt. Holds no more than one prompt.
#[derive(Clone, Debug, Default)]
pub(super) struct History {
    pieces: Vec<(String, Vec<u32>)>,
    /// Bytes that were tokenised for the last prompt.
    pub(super) tokenised: usize,
}

impl History {
    /// The last `max_tokens` tokens of the prompt that consists of `pieces`.
    pub(super) fn encode(
        &mut self,
        encoder: &Encoder,
        pieces: Vec<String>,
        max_tokens: usize,
    ) -> Result<Vec<i64>, TextModelError> {
        let pieces = if encoder.in_pieces {
            pieces
        } else {
            vec![pieces.concat()]
        };
        self.tokenised = 0;
        let mut kept: Vec<(String, Vec<u32>)> = Vec::with_capacity(pieces.len());
        let mut count = 0;
        for piece in pieces.into_iter().rev() {
            if count >= max_tokens {
                break;
            }
            let known = |(text, _): &&(String, Vec<u32>)| *text == piece;
            let ids = match kept
                .iter()
                .find(known)
                .or_else(|| self.pieces.iter().find(known))
            {
                Some((_, ids)) => ids.clone(),
                None => {
                    self.tokenised += piece.len();
                    encoder.ids(&piece)?
                }
            };
            count += ids.len();
            kept.push((piece, ids));
        }
        self.pieces = kept;
        let ids = self.pieces.iter().rev().flat_map(|(_, ids)| ids);
        Ok(ids
            .skip(count.saturating_sub(max_tokens))
            .map(|id| i64::from(*id))
            .collect())
    }
}
