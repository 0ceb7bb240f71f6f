//! From which probability on a model means "finished": by language, and for one model only.
//!
//! A threshold is a property of a model's weights: 0.5 of one release can be 0.01 of the next. So a table is bound to the hash of the
//! file it was measured with, and refuses any other.

use std::fmt;

use super::Language;
use crate::error::ModelError;
use crate::units::Probability;

/// A model by the SHA-256 of the file it was published in, whatever it has been converted to since.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ModelHash([u8; 32]);

impl ModelHash {
    /// Smart Turn v3.2, `smart-turn-v3.2-cpu.onnx`.
    pub const SMART_TURN_V3_2: Self =
        Self::constant("2bb026316b14a660486a75b1733cd3fbab8c2fd0314dc9af7be49f8cca967e4f");

    /// The hash itself.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Reads 64 hexadecimal digits; `None` if it is anything else.
    pub const fn parse(hex: &str) -> Option<Self> {
        let hex = hex.as_bytes();
        if hex.len() != 64 {
            return None;
        }
        let mut bytes = [0; 32];
        let mut k = 0;
        while k < 64 {
            let digit = match hex[k] {
                digit @ b'0'..=b'9' => digit - b'0',
                digit @ b'a'..=b'f' => digit - b'a' + 10,
                digit @ b'A'..=b'F' => digit - b'A' + 10,
                _ => return None,
            };
            bytes[k / 2] = bytes[k / 2] << 4 | digit;
            k += 1;
        }
        Some(Self(bytes))
    }

    const fn constant(hex: &str) -> Self {
        match Self::parse(hex) {
            Some(hash) => hash,
            None => panic!("64 hexadecimal digits"),
        }
    }

    /// The hash itself.
    pub const fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for ModelHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ModelHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ModelHash({self})")
    }
}

/// The thresholds of one model.
///
/// ```
/// use listenkit::{Language, ModelHash, Probability, ThresholdTable};
///
/// let table = ThresholdTable::new(ModelHash::SMART_TURN_V3_2, Probability::clamped(0.21))
///     .with(Language::parse("de").expect("a language"), Probability::clamped(0.3));
/// assert_eq!(table.for_tag(Some("de-AT")).value(), 0.3);
/// assert_eq!(table.for_tag(Some("multi")).value(), 0.21);
/// assert!(table.check(ModelHash::new([0; 32])).is_err());
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct ThresholdTable {
    model: ModelHash,
    default: Probability,
    /// No language twice.
    languages: Vec<(Language, Probability)>,
}

impl ThresholdTable {
    /// A table for `model` that says `default` for every language.
    pub const fn new(model: ModelHash, default: Probability) -> Self {
        Self {
            model,
            default,
            languages: Vec::new(),
        }
    }

    /// The same with another threshold for one language, or for one region of it (`pt-BR`).
    #[must_use]
    pub fn with(mut self, language: Language, threshold: Probability) -> Self {
        match self.languages.iter_mut().find(|known| known.0 == language) {
            Some(known) => known.1 = threshold,
            None => self.languages.push((language, threshold)),
        }
        self
    }

    /// The same with another threshold for languages that are not in it.
    #[must_use]
    pub const fn with_default(mut self, threshold: Probability) -> Self {
        self.default = threshold;
        self
    }

    /// One threshold for all languages, in place of everything said so far.
    #[must_use]
    pub fn with_all(self, threshold: Probability) -> Self {
        Self::new(self.model, threshold)
    }

    /// The threshold for a language: that of its region, else that of the language, else the default. Without a language, the
    /// default.
    pub fn get(&self, language: Option<Language>) -> Probability {
        language
            .and_then(|language| self.known(language))
            .unwrap_or(self.default)
    }

    /// The same for a tag as recognisers give it; one that names no language gets the default.
    pub fn for_tag(&self, tag: Option<&str>) -> Probability {
        self.get(tag.and_then(Language::parse))
    }

    /// Whether the table has this language, or the one of which it is a region.
    pub fn knows(&self, language: Language) -> bool {
        self.known(language).is_some()
    }

    /// The languages in it, in the order they were added.
    pub fn languages(&self) -> impl Iterator<Item = (Language, Probability)> + '_ {
        self.languages.iter().copied()
    }

    /// The model it was measured with.
    pub const fn model(&self) -> ModelHash {
        self.model
    }

    /// Refuses a model that the table was not made for.
    ///
    /// # Errors
    /// [`ModelError::OtherModel`] with both hashes.
    pub fn check(&self, model: ModelHash) -> Result<(), ModelError> {
        if model == self.model {
            Ok(())
        } else {
            Err(ModelError::OtherModel {
                expected: self.model.0,
                found: model.0,
            })
        }
    }

    fn known(&self, language: Language) -> Option<Probability> {
        let with = |wanted: &dyn Fn(&Language) -> bool| {
            let mut entries = self.languages.iter();
            entries.find(|entry| wanted(&entry.0)).map(|entry| entry.1)
        };
        with(&|known| *known == language)
            .or_else(|| with(&|known| known.base() == language.base() && known.region().is_none()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn p(value: f32) -> Probability {
        Probability::new(value).expect("a probability")
    }

    fn language(tag: &str) -> Language {
        Language::parse(tag).expect("a language")
    }

    fn table() -> ThresholdTable {
        ThresholdTable::new(ModelHash::SMART_TURN_V3_2, p(0.5))
            .with(language("pt"), p(0.1))
            .with(language("pt-BR"), p(0.2))
            .with(language("zh-TW"), p(0.3))
    }

    #[test]
    fn a_region_comes_before_its_language_and_that_before_the_default() {
        let table = table();
        for (tag, threshold) in [
            ("pt", 0.1),
            ("pt-PT", 0.1),
            ("PT_br", 0.2),
            ("zh-TW", 0.3),
            // A region says nothing about its language or another region.
            ("zh", 0.5),
            ("zh-CN", 0.5),
            ("de", 0.5),
            ("multi", 0.5),
            ("", 0.5),
        ] {
            assert_eq!(table.for_tag(Some(tag)), p(threshold), "{tag}");
        }
        assert_eq!(table.for_tag(None), p(0.5));
        assert!(table.knows(language("pt-AO")) && !table.knows(language("zh")));
    }

    #[test]
    fn one_key_can_be_replaced_and_all_of_them() {
        let one = table().with(language("pt"), p(0.7));
        assert_eq!(one.for_tag(Some("pt")), p(0.7));
        assert_eq!(one.for_tag(Some("pt-BR")), p(0.2), "the others stay");
        assert_eq!(one.languages().count(), 3);
        let all = one.with_all(p(0.9)).with(language("de"), p(0.8));
        for (tag, threshold) in [("pt-BR", 0.9), ("zh-TW", 0.9), ("de", 0.8)] {
            assert_eq!(all.for_tag(Some(tag)), p(threshold));
        }
        assert_eq!(table().with_default(p(0.6)).for_tag(Some("fi")), p(0.6));
    }

    #[test]
    fn a_table_refuses_another_model_and_names_both() {
        let table = table();
        assert_eq!(table.check(ModelHash::SMART_TURN_V3_2), Ok(()));
        let other = ModelHash::parse(&"0f".repeat(32)).expect("a hash");
        let message = table.check(other).expect_err("another").to_string();
        for hash in [other, table.model()] {
            assert!(message.contains(&hash.to_string()), "{message}");
        }
    }

    #[test]
    fn hashes_are_read_as_they_are_written() {
        let hex = "2bb026316b14a660486a75b1733cd3fbab8c2fd0314dc9af7be49f8cca967e4f";
        let hash = ModelHash::parse(&hex.to_uppercase()).expect("a hash");
        assert_eq!(
            (hash, hash.to_string()),
            (ModelHash::SMART_TURN_V3_2, hex.into())
        );
        assert_eq!(hash.bytes()[..3], [0x2b, 0xb0, 0x26]);
        for wrong in ["", &hex[1..], &format!("{hex}0"), &hex.replace('f', "g")] {
            assert_eq!(ModelHash::parse(wrong), None, "{wrong}");
        }
    }
}
