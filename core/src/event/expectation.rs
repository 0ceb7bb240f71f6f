//! What the dialogue expects to hear next.
//!
//! The agent knows what it has just asked. That knowledge decides more than any model: after "yes or no?" a single word
//! is a whole turn, and after "your number, please" seven of ten digits are not, however final they sound.

/// What kind of answer the dialogue expects, for policies and cues; the default is [`Free`](Self::Free).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Expectation {
    /// Anything.
    #[default]
    Free,
    /// A yes or a no: short answers are heard, and answered fast.
    YesNo,
    /// A number that is read out: telephone, card, code.
    Digits {
        /// How many digits it has; 0 if that is not known.
        count: u8,
    },
    /// A word that is spelt, letter by letter: pauses between letters are normal.
    Spelling,
    /// An e-mail address.
    Email,
    /// The user was told to take their time ("tell me everything"): pauses end nothing early, only a closing phrase does.
    FloorGranted,
}
