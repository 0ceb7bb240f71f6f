//! Labelled recordings: JSON lines that say where a turn ends and where its speaker only paused.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::failure::Failure;

/// One turn of one speaker, as it was labelled. Times are in seconds from the start of the recording.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Labelled {
    /// The recording; relative paths begin at the manifest's folder.
    pub(crate) audio: PathBuf,
    /// Name in reports: `id`, or the file's name.
    pub(crate) name: String,
    /// Primary language subtag (`en`), lower case, if it is known.
    pub(crate) language: Option<String>,
    /// Where the turn's last speech ends.
    pub(crate) turn_end: f64,
    /// Silences inside the turn, in order: an agent that answers in one of them has cut the user off.
    pub(crate) pauses: Vec<(f64, f64)>,
}

/// A line of the file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    audio: PathBuf,
    id: Option<String>,
    language: Option<String>,
    turn_end: f64,
    #[serde(default)]
    pauses: Vec<(f64, f64)>,
    /// Anything the author wants to keep.
    #[serde(default, rename = "note")]
    _note: serde_json::Value,
}

const EXAMPLE: &str =
    r#"{"audio": "a.wav", "language": "en", "turn_end": 3.2, "pauses": [[1.1, 1.9]]}"#;

/// Reads a manifest.
///
/// # Errors
/// [`Failure::Input`] if it cannot be read; [`Failure::Usage`] if a line is not a label, with its number.
pub(crate) fn read(path: &Path) -> Result<Vec<Labelled>, Failure> {
    let bytes = std::fs::read(path).map_err(|error| Failure::opening(path, &error))?;
    let Ok(text) = String::from_utf8(bytes) else {
        return Err(Failure::usage(format!(
            "{}: is no manifest, which is UTF-8 text; a line is like {EXAMPLE}",
            path.display()
        )));
    };
    // Some editors mark UTF-8 at the start.
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut turns: Vec<Labelled> = Vec::new();
    let mut lines = HashMap::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let wrong =
            |what: String| Failure::usage(format!("{}:{}: {what}", path.display(), number + 1));
        let label: Line = serde_json::from_str(line)
            .map_err(|error| wrong(format!("{}; a line is like {EXAMPLE}", told(&error))))?;
        let turn = check(label, folder).map_err(wrong)?;
        if let Some(first) = lines.insert(turn.audio.clone(), number + 1) {
            return Err(wrong(format!(
                "{} is in line {first} too; a recording holds one turn: cut it into one file a turn",
                turn.audio.display()
            )));
        }
        turns.push(turn);
    }
    if turns.is_empty() {
        return Err(Failure::usage(format!(
            "{}: holds no turns; a line is like {EXAMPLE}",
            path.display()
        )));
    }
    Ok(turns)
}

/// What is wrong with a line. Every line is read by itself: only the column says where.
fn told(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    match text.strip_suffix(&place) {
        Some(what) => format!("{what} at column {}", error.column()),
        None => text,
    }
}

fn check(label: Line, folder: &Path) -> Result<Labelled, String> {
    let Line {
        audio,
        id,
        language,
        turn_end,
        pauses,
        ..
    } = label;
    if !(turn_end.is_finite() && turn_end > 0.0) {
        return Err(format!(
            "turn_end is {turn_end}; it is the end of the last speech in seconds, above 0"
        ));
    }
    let mut heard = 0.0;
    for &(start, end) in &pauses {
        if !(start >= heard && end > start && end < turn_end) {
            return Err(format!(
                "the pause [{start}, {end}] is not inside the turn; pauses are [start, end] in seconds, in order, before turn_end ({turn_end})"
            ));
        }
        heard = end;
    }
    let name = id.unwrap_or_else(|| {
        audio
            .file_stem()
            .unwrap_or(audio.as_os_str())
            .to_string_lossy()
            .into_owned()
    });
    let language = language
        .map(|tag| {
            tag.split(['-', '_'])
                .next()
                .unwrap_or_default()
                .to_lowercase()
        })
        .filter(|tag| !tag.is_empty());
    Ok(Labelled {
        audio: folder.join(audio),
        name,
        language,
        turn_end,
        pauses,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(line: &str) -> Result<Labelled, String> {
        let label = serde_json::from_str(line).map_err(|error| error.to_string())?;
        check(label, Path::new("/data"))
    }

    #[test]
    fn a_label_is_read_with_its_path_beside_the_manifest() {
        let turn = one(
            r#"{"audio":"x/a.wav","language":"pt-BR","turn_end":3.5,"pauses":[[1,2],[2.5,3]]}"#,
        )
        .expect("valid");
        assert_eq!(turn.audio, Path::new("/data/x/a.wav"));
        assert_eq!(turn.name, "a");
        assert_eq!(turn.language.as_deref(), Some("pt"));
        assert_eq!(turn.pauses, [(1.0, 2.0), (2.5, 3.0)]);
    }

    #[test]
    fn labels_that_cannot_be_are_refused() {
        for (line, says) in [
            (r#"{"audio":"a.wav","turn_end":-1}"#, "turn_end"),
            (r#"{"audio":"a.wav"}"#, "turn_end"),
            (
                r#"{"audio":"a.wav","turn_end":1,"pauses":[[0.5,1.5]]}"#,
                "not inside",
            ),
            (
                r#"{"audio":"a.wav","turn_end":3,"pauses":[[1,2],[1.5,2.5]]}"#,
                "in order",
            ),
            (
                r#"{"audio":"a.wav","turn_end":3,"pauses":[[2,1]]}"#,
                "not inside",
            ),
            (
                r#"{"audio":"a.wav","turn_end":3,"pause":[]}"#,
                "unknown field",
            ),
        ] {
            let error = one(line).expect_err(line);
            assert!(error.contains(says), "{line}: {error}");
        }
    }
}
