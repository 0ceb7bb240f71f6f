//! What the wording of a transcript says about the end of a turn, as a record; module `turn` reads it from text.

use std::fmt;

/// What the wording of the turn so far says: one vote among others, never a verdict.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct CueVote {
    /// From -1.0 (surely unfinished) over 0.0 (nothing to go by) to 1.0 (surely finished). A NaN counts as no vote, values
    /// outside the range as its ends.
    pub lean: f32,
    /// What was found.
    pub reasons: CueSet,
}

/// One thing that was found in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[repr(u8)]
pub enum Cue {
    /// The last word is a sound of hesitation: "uh", "euh", "えーと".
    Filler,
    /// The last word cannot end a sentence: "and", "the", "weil".
    OpenWord,
    /// The last word seldom ends a sentence: "for", "ですが".
    MayGoOn,
    /// The last words open something or ask for time: "my number is", "let me see".
    OpenPhrase,
    /// A number ends in a joint: "three point".
    OpenNumber,
    /// Fewer digits than expected.
    ShortNumber,
    /// An e-mail address without its end: "anna at example".
    OpenAddress,
    /// A word is being spelt.
    Spelling,
    /// A comma, semicolon or colon at the end.
    Comma,
    /// A dash at the end.
    Dash,
    /// Dots at the end.
    Ellipsis,
    /// A full stop or exclamation mark at the end.
    FullStop,
    /// A question mark or a closing question word at the end: "吗", "か".
    Question,
    /// A form that closes a sentence: "です", "습니다", "please".
    FinalForm,
    /// A phrase that hands the turn over: "that's all", "thank you", "以上です".
    Closing,
    /// Nothing but a yes or no, where one is expected.
    ShortAnswer,
    /// At least as many digits as expected.
    FullNumber,
    /// A whole e-mail address.
    FullAddress,
}

impl Cue {
    /// Every cue, those for an unfinished turn first.
    pub const ALL: [Self; 18] = [
        Self::Filler,
        Self::OpenWord,
        Self::MayGoOn,
        Self::OpenPhrase,
        Self::OpenNumber,
        Self::ShortNumber,
        Self::OpenAddress,
        Self::Spelling,
        Self::Comma,
        Self::Dash,
        Self::Ellipsis,
        Self::FullStop,
        Self::Question,
        Self::FinalForm,
        Self::Closing,
        Self::ShortAnswer,
        Self::FullNumber,
        Self::FullAddress,
    ];

    /// Whether it speaks for an unfinished turn; if not, for a finished one.
    pub const fn is_open(self) -> bool {
        (self as u8) <= Self::Ellipsis as u8
    }

    /// A name for logs and reports: `open_word`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Filler => "filler",
            Self::OpenWord => "open_word",
            Self::MayGoOn => "may_go_on",
            Self::OpenPhrase => "open_phrase",
            Self::OpenNumber => "open_number",
            Self::ShortNumber => "short_number",
            Self::OpenAddress => "open_address",
            Self::Spelling => "spelling",
            Self::Comma => "comma",
            Self::Dash => "dash",
            Self::Ellipsis => "ellipsis",
            Self::FullStop => "full_stop",
            Self::Question => "question",
            Self::FinalForm => "final_form",
            Self::Closing => "closing",
            Self::ShortAnswer => "short_answer",
            Self::FullNumber => "full_number",
            Self::FullAddress => "full_address",
        }
    }
}

/// A set of reasons.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct CueSet(pub(crate) u32);

impl CueSet {
    /// No reason at all.
    pub const EMPTY: Self = Self(0);

    /// Whether there is no reason in it.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// All reasons of both.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether `cue` is in it.
    pub const fn contains(self, cue: Cue) -> bool {
        self.0 & (1 << cue as u8) != 0
    }

    /// How many reasons there are.
    pub const fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    /// The reasons, those for an unfinished turn first.
    pub fn iter(self) -> impl Iterator<Item = Cue> {
        Cue::ALL.into_iter().filter(move |&cue| self.contains(cue))
    }

    /// The set as a number, for bindings: bit n stands for [`Cue::ALL`]`[n]`. A bit never changes its meaning; new cues get new
    /// bits.
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// The set of a number that [`bits`](Self::bits) gave. Bits that stand for no cue here are dropped: they come from a newer
    /// version.
    pub const fn from_bits(bits: u32) -> Self {
        Self(bits & ((1 << Cue::ALL.len()) - 1))
    }

    pub(crate) const fn insert(&mut self, cue: Cue) {
        self.0 |= 1 << cue as u8;
    }

    pub(crate) const fn remove(&mut self, cue: Cue) {
        self.0 &= !(1 << cue as u8);
    }
}

impl Extend<Cue> for CueSet {
    fn extend<T: IntoIterator<Item = Cue>>(&mut self, cues: T) {
        for cue in cues {
            self.insert(cue);
        }
    }
}

impl FromIterator<Cue> for CueSet {
    fn from_iter<T: IntoIterator<Item = Cue>>(cues: T) -> Self {
        let mut set = Self::EMPTY;
        set.extend(cues);
        set
    }
}

impl fmt::Debug for CueSet {
    /// The names of its reasons.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter().map(Cue::as_str)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bindings have these numbers in their headers.
    #[test]
    fn the_bit_of_a_cue_is_its_place_for_ever() {
        for (n, cue) in Cue::ALL.into_iter().enumerate() {
            assert_eq!(CueSet::from_iter([cue]).bits(), 1 << n, "{cue:?}");
        }
        let first = [Cue::Filler, Cue::Ellipsis, Cue::FullStop, Cue::FullAddress];
        let bits = first.map(|cue| CueSet::from_iter([cue]).bits());
        assert_eq!(bits, [1, 0x400, 0x800, 0x2_0000]);
    }

    #[test]
    fn a_set_survives_being_a_number_and_unknown_bits_are_dropped() {
        let set = CueSet::from_iter([Cue::Comma, Cue::FullAddress]);
        assert_eq!(CueSet::from_bits(set.bits()), set);
        assert_eq!(CueSet::from_bits(set.bits() | 1 << 31 | 1 << 18), set);
        assert_eq!(CueSet::from_bits(u32::MAX).len(), Cue::ALL.len());
        assert!(CueSet::from_bits(0).is_empty());
    }
}
