//! Dependencies point downwards only: the drawing in `docs/design.md`, read from the sources.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// The floors from the ground up, as drawn in `docs/design.md`. A module may use modules of lower floors and its own
/// submodules.
fn floors() -> Vec<Vec<String>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/design.md");
    let text = fs::read_to_string(path).expect("docs/design.md");
    let mut floors: Vec<(&str, Vec<String>)> = text
        .lines()
        .filter_map(|line| line.split_once("   core: "))
        .map(|(floor, drawn)| {
            // The words after two spaces say what the floor is for.
            let modules = drawn.split("  ").next().unwrap_or(drawn);
            (
                floor,
                modules.split_whitespace().map(str::to_owned).collect(),
            )
        })
        .collect();
    floors.sort();
    floors.into_iter().map(|(_, modules)| modules).collect()
}

/// On the ground floor the order is that of the drawing, vocabulary first: units, errors and PCM know each other, the
/// rest knows what stands before it.
fn may_use(floors: &[Vec<String>], user: &str, used: &str) -> bool {
    let find = |module: &str| {
        floors.iter().enumerate().find_map(|(floor, modules)| {
            let place = modules.iter().position(|name| name == module)?;
            Some((floor, place))
        })
    };
    match (find(user), find(used)) {
        (Some(user), Some(used)) if user.0 == 0 && used.0 == 0 => {
            used.1 < user.1 || (used.1 < 3 && user.1 < 3)
        }
        (Some(user), Some(used)) => used.0 < user.0,
        _ => false,
    }
}

/// Words, `::` and brackets of Rust code, without comments and text in quotes.
fn tokens(source: &str) -> Vec<&str> {
    let mut tokens = Vec::new();
    let mut rest = source;
    while let Some(first) = rest.chars().next() {
        let len = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if first == '"' {
            let escaped = rest[1..].replace("\\\\", "..").replace("\\\"", "..");
            escaped.find('"').map_or(rest.len(), |end| end + 2)
        } else if first == '\'' && rest[1..].chars().nth(1) == Some('\'') {
            rest[1..].find('\'').map_or(rest.len(), |end| end + 2)
        } else if first.is_alphabetic() || first == '_' {
            let word = |c: char| c.is_alphanumeric() || c == '_';
            let len = rest.find(|c| !word(c)).unwrap_or(rest.len());
            tokens.push(&rest[..len]);
            len
        } else if rest.starts_with("::") {
            tokens.push("::");
            2
        } else {
            if "{},*".contains(first) {
                tokens.push(&rest[..1]);
            }
            first.len_utf8()
        };
        rest = &rest[len..];
    }
    tokens
}

/// The paths of a group, `path` being what follows its opening brace.
fn members<'t, 's>(path: &'t [&'s str]) -> Vec<&'t [&'s str]> {
    let (mut open, mut begun, mut members) = (0_usize, 0, Vec::new());
    for (k, token) in path.iter().enumerate() {
        match *token {
            "{" => open += 1,
            "}" if open > 0 => open -= 1,
            "}" | "," if open == 0 => {
                members.push(&path[begun..k]);
                begun = k + 1;
                if *token == "}" {
                    break;
                }
            }
            _ => {}
        }
    }
    members
}

/// Collects the names that `path` takes from the crate's root, `below` modules under which it begins.
fn names_at_root<'s>(path: &[&'s str], below: usize, found: &mut Vec<&'s str>) {
    match path {
        ["super", "::", rest @ ..] if below > 0 => names_at_root(rest, below - 1, found),
        ["{", rest @ ..] => {
            for member in members(rest) {
                names_at_root(member, below, found);
            }
        }
        [name, ..] if below == 0 => found.push(name),
        _ => {}
    }
}

/// What a file takes from the crate's root; `below` is 1 for `name.rs` and `name/mod.rs`, 2 for their submodules.
fn used_from_root(source: &str, below: usize) -> Vec<&str> {
    let tokens = tokens(source);
    // Of every open brace, whether it is that of a module.
    let mut braces = Vec::new();
    let mut found = Vec::new();
    for (k, token) in tokens.iter().enumerate() {
        match *token {
            "{" => braces.push(k >= 2 && tokens[k - 2] == "mod"),
            "}" => drop(braces.pop()),
            "crate" if tokens.get(k + 1) == Some(&"::") => {
                names_at_root(&tokens[k + 2..], 0, &mut found);
            }
            "super" if tokens.get(k + 1) == Some(&"::") => {
                let inline = braces.iter().filter(|module| **module).count();
                names_at_root(&tokens[k..], below + inline, &mut found);
            }
            _ => {}
        }
    }
    found
}

/// The names a file of `module` takes from the crate's root against the drawing. A name the root only passes on hides
/// where it comes from, so it is wrong too.
fn wrong_uses<'s>(
    floors: &[Vec<String>],
    module: &str,
    source: &'s str,
    below: usize,
) -> Vec<&'s str> {
    let mut used = used_from_root(source, below);
    used.retain(|name| *name != module && !may_use(floors, module, name));
    used
}

fn check(floors: &[Vec<String>], module: &str, path: &Path, below: usize, wrong: &mut Vec<String>) {
    if path.is_dir() {
        for entry in fs::read_dir(path).expect("source folder") {
            let path = entry.expect("entry").path();
            let below = below + usize::from(!path.ends_with("mod.rs"));
            check(floors, module, &path, below, wrong);
        }
    } else if path.extension().is_some_and(|kind| kind == "rs") {
        let source = fs::read_to_string(path).expect("source file");
        for name in wrong_uses(floors, module, &source, below) {
            wrong.push(format!("{} uses crate::{name}", path.display()));
        }
    }
}

#[test]
fn no_floor_knows_one_above_it() {
    let floors = floors();
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut wrong = Vec::new();
    let mut present = BTreeSet::new();
    for entry in fs::read_dir(&src).expect("src") {
        let path = entry.expect("entry").path();
        let module = path
            .file_stem()
            .and_then(|stem| stem.to_str())
            .expect("utf-8 name")
            .to_owned();
        if module != "lib" {
            check(&floors, &module, &path, 1, &mut wrong);
            present.insert(module);
        }
    }
    let drawn: BTreeSet<String> = floors.into_iter().flatten().collect();
    assert_eq!(drawn, present, "the drawing and the sources");
    assert!(
        wrong.is_empty(),
        "imports against the drawing:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn upward_imports_are_found_however_they_are_written() {
    let floors = floors();
    let wrong = |module, source, below| wrong_uses(&floors, module, source, below);
    assert_eq!(
        wrong(
            "vad",
            "use crate::{nn::{Container, Conv}, detector::Detector};",
            1
        ),
        ["detector"]
    );
    assert_eq!(
        wrong(
            "nn",
            "use {crate::error::{self, ModelError}, crate::{buf, vad}};",
            2
        ),
        ["vad"]
    );
    assert_eq!(wrong("nn", "use super::vad::SileroVad;", 1), ["vad"]);
    assert_eq!(
        wrong("nn", "use super::{layers, super::{buf, config}};", 2),
        ["config"]
    );
    assert_eq!(
        wrong("nn", "fn f(x: &'a super::super::turn::T) {}", 2),
        ["turn"]
    );
    assert_eq!(
        wrong("nn", "mod tests { use super::super::vad; }", 1),
        ["vad"]
    );
    assert_eq!(
        wrong("segmenter", "let x = crate::endpointer::ask();", 2),
        ["endpointer"]
    );
    assert_eq!(wrong("pcm", "use crate::timeline::Epoch;", 1), ["timeline"]);
    assert_eq!(
        wrong("buf", "use crate::Detector;\nuse crate::*;", 1),
        ["Detector", "*"]
    );
}

#[test]
fn imports_along_the_drawing_are_left_alone() {
    let floors = floors();
    for (module, source, below) in [
        (
            "vad",
            "use super::{SileroVad, VadState};\nuse super::model::X;",
            2,
        ),
        (
            "vad",
            "mod tests { use super::*; use crate::vad::test; }",
            1,
        ),
        (
            "detector",
            "use crate::{buf::History, vad::{A, B}, turn};",
            1,
        ),
        ("units", "use crate::error::ConfigError;", 1),
        (
            "buf",
            "// use crate::detector;\nlet s = \"crate::vad \\\" {\"; let c = '{';",
            1,
        ),
        (
            "nn",
            "pub(crate) fn f() {} mod a { mod b { use super::super::c; } }",
            1,
        ),
    ] {
        let wrong = wrong_uses(&floors, module, source, below);
        assert!(wrong.is_empty(), "{module}: {source}: {wrong:?}");
    }
}

/// Whether the module that owns this file declares it with `#[cfg(test)]`.
fn is_test_module(path: &Path) -> bool {
    let stem = path
        .file_stem()
        .and_then(|stem| stem.to_str())
        .expect("utf-8 name");
    let folder = path.parent().expect("a folder");
    let declaration = format!("#[cfg(test)]\nmod {stem};");
    let owners = [folder.join("mod.rs"), folder.with_extension("rs")];
    owners
        .iter()
        .any(|owner| fs::read_to_string(owner).is_ok_and(|text| text.contains(&declaration)))
}

/// Time is a count of samples and the network is none of our business: the words do not occur.
#[test]
fn the_core_reads_no_clock_and_touches_no_network() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut stack = vec![src];
    let mut wrong = Vec::new();
    while let Some(path) = stack.pop() {
        if path.is_dir() {
            stack.extend(
                fs::read_dir(path)
                    .expect("folder")
                    .map(|e| e.expect("entry").path()),
            );
            continue;
        }
        if is_test_module(&path) {
            continue;
        }
        let source = fs::read_to_string(&path).expect("source");
        for word in [
            "Instant",
            "SystemTime",
            "std::net",
            "std::fs",
            "std::thread",
            "std::env",
            "println!",
        ] {
            for line in source
                .lines()
                .filter(|line| !line.trim_start().starts_with("//"))
            {
                if line.contains(word) {
                    wrong.push(format!("{}: {}", path.display(), line.trim()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "not in the core:\n{}", wrong.join("\n"));
}
