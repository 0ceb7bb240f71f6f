//! What the wording of a transcript says about the end of a turn, as a record; module `turn` reads it from text.

/// What the wording of the turn so far says: one vote among others, never a verdict.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct CueVote {
    /// From -1.0 (surely unfinished) over 0.0 (nothing to go by) to 1.0 (surely finished). A NaN counts as no vote, values
    /// outside the range as its ends.
    pub lean: f32,
    /// What was found.
    pub reasons: CueSet,
}

/// A set of reasons.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
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
}
