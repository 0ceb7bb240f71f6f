//! Below which probability a turn counts as unfinished: a number for each language, because models are surer in some.

use super::TextModelError;
use crate::turn::Language;
use crate::units::Probability;
use serde_json::Value;
use std::collections::BTreeMap;

/// The thresholds that belong to one model.
#[derive(Clone, Debug, PartialEq)]
pub struct LanguageThresholds {
    table: BTreeMap<Language, Probability>,
    /// For languages that the table does not have.
    others: Option<Probability>,
}

impl LanguageThresholds {
    /// Reads a `languages.json`: codes as keys, objects with a number `threshold` as values.
    ///
    /// # Errors
    /// [`TextModelError::Languages`] if it is not that, if a threshold is not within 0 to 1, or if there is none.
    pub fn parse(json: &[u8]) -> Result<Self, TextModelError> {
        let wrong = |what: String| TextModelError::Languages { what };
        let value: Value =
            serde_json::from_slice(json).map_err(|error| wrong(error.to_string()))?;
        let Value::Object(entries) = value else {
            return Err(wrong("expected an object of language codes".to_owned()));
        };
        let mut table = BTreeMap::new();
        for (code, entry) in entries {
            let Some(threshold) = entry.get("threshold").and_then(Value::as_f64) else {
                continue;
            };
            let threshold = Probability::new(threshold as f32).map_err(|_| {
                wrong(format!(
                    "the threshold of `{code}` is {threshold}, not within 0 to 1"
                ))
            })?;
            if let Some(language) = Language::parse(&code) {
                table.insert(language, threshold);
            }
        }
        if table.is_empty() {
            return Err(wrong("no language has a `threshold`".to_owned()));
        }
        Ok(Self {
            table,
            others: None,
        })
    }

    /// One threshold for every language, known or not: for models that come without a table.
    pub const fn uniform(threshold: Probability) -> Self {
        Self {
            table: BTreeMap::new(),
            others: Some(threshold),
        }
    }

    /// This table with another threshold for one language, which may be new to it. Leaves all others alone.
    ///
    /// # Errors
    /// [`TextModelError::Languages`] if `language` names no language.
    pub fn with(mut self, language: &str, threshold: Probability) -> Result<Self, TextModelError> {
        let language = Language::parse(language).ok_or_else(|| TextModelError::Languages {
            what: format!("`{language}` names no language"),
        })?;
        self.table.insert(language, threshold);
        Ok(self)
    }

    /// This table with `threshold` for each language that it has. Others stay unknown.
    pub fn with_all(mut self, threshold: Probability) -> Self {
        for value in self.table.values_mut() {
            *value = threshold;
        }
        self
    }

    /// The threshold of `language` in its region, or else of the language at large.
    pub fn get(&self, language: Language) -> Option<Probability> {
        let at_large = Language::parse(language.base());
        let known = self
            .table
            .get(&language)
            .or_else(|| self.table.get(&at_large?));
        known.copied().or(self.others)
    }

    /// The threshold where nothing is known of the language.
    pub(super) const fn of_any(&self) -> Option<Probability> {
        self.others
    }

    /// The highest threshold: the one that waits longest.
    pub(super) fn most_cautious(&self) -> Probability {
        let all = self.table.values().copied().chain(self.others);
        all.fold(Probability::clamped(0.0), |a, b| {
            if b.value() > a.value() { b } else { a }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn p(value: f32) -> Probability {
        Probability::clamped(value)
    }

    fn table() -> LanguageThresholds {
        let json = br#"{"en": {"threshold": 0.03, "name": "English"}, "pt": {"threshold": 0.2}, "pt-BR": {"threshold": 0.25},
            "zh": {"threshold": 1}, "xx-note": {}}"#;
        LanguageThresholds::parse(json).expect("a good table")
    }

    fn get(table: &LanguageThresholds, tag: &str) -> Option<Probability> {
        table.get(Language::parse(tag).expect("a tag"))
    }

    #[test]
    fn a_region_comes_before_the_language_at_large() {
        let table = table();
        for (tag, expected) in [
            ("en", Some(0.03)),
            ("en-US", Some(0.03)),
            ("english", Some(0.03)),
            ("pt", Some(0.2)),
            ("pt-BR", Some(0.25)),
            ("pt_br", Some(0.25)),
            ("pt-PT", Some(0.2)),
            ("cmn-Hans-CN", Some(1.0)),
            ("sv", None),
        ] {
            assert_eq!(get(&table, tag), expected.map(p), "{tag}");
        }
        assert_eq!(table.most_cautious(), p(1.0));
    }

    #[test]
    fn an_override_of_one_key_touches_no_other() {
        let table = table()
            .with("EN_us", p(0.5))
            .expect("a language")
            .with("sv", p(0.4))
            .expect("a language");
        assert_eq!(get(&table, "en-US"), Some(p(0.5)));
        assert_eq!(get(&table, "en-GB"), Some(p(0.03)));
        assert_eq!(get(&table, "sv-FI"), Some(p(0.4)));
        assert!(table.with("multi", p(0.1)).is_err());
    }

    #[test]
    fn a_number_for_all_is_for_the_languages_of_the_table() {
        let table = table().with_all(p(0.6));
        assert_eq!(get(&table, "pt-BR"), Some(p(0.6)));
        assert_eq!(get(&table, "sv"), None);
        assert_eq!(
            get(&LanguageThresholds::uniform(p(0.6)), "sv"),
            Some(p(0.6))
        );
    }

    #[test]
    fn tables_that_say_nothing_are_refused() {
        for json in [
            "",
            "[]",
            "{}",
            "{\"en\": 0.5}",
            "{\"en\": {\"threshold\": 1.5}}",
            "{\"en\": {\"threshold\": -0.1}}",
            "{\"multi\": {\"threshold\": 0.1}}",
        ] {
            assert!(
                LanguageThresholds::parse(json.as_bytes()).is_err(),
                "{json}"
            );
        }
    }
}
