//! Dependencies point downwards only: the drawing in `docs/design.md`, read from the sources.

use std::fs;
use std::path::Path;

/// The floors from the ground up. A module may use modules of lower floors and its own submodules.
const FLOORS: [&[&str]; 6] = [
    &["units", "error", "pcm", "timeline", "buf", "event", "stats"],
    &["dsp", "resample", "nn"],
    &["vad", "turn"],
    &["segmenter", "endpointer"],
    &["config"],
    &["detector"],
];

/// Inside the ground floor the order is that of this list: vocabulary first.
fn floor_of(module: &str) -> Option<(usize, usize)> {
    FLOORS.iter().enumerate().find_map(|(floor, modules)| {
        modules
            .iter()
            .position(|name| *name == module)
            .map(|place| (floor, place))
    })
}

fn check(module: &str, path: &Path, wrong: &mut Vec<String>) {
    if path.is_dir() {
        for entry in fs::read_dir(path).expect("source folder") {
            check(module, &entry.expect("entry").path(), wrong);
        }
        return;
    }
    let source = fs::read_to_string(path).expect("source file");
    let Some((floor, place)) = floor_of(module) else {
        wrong.push(format!(
            "{} is on no floor: add it to the drawing",
            path.display()
        ));
        return;
    };
    let code: String = source
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect::<Vec<_>>()
        .join("\n");
    for used in code.split("crate::").skip(1) {
        let names: Vec<&str> = match used.strip_prefix('{') {
            Some(list) => list
                .split('}')
                .next()
                .unwrap_or("")
                .split(',')
                .map(str::trim)
                .collect(),
            None => vec![used],
        };
        for name in names {
            let name: String = name
                .chars()
                .take_while(|c| c.is_alphanumeric() || *c == '_')
                .collect();
            if name == module || name.is_empty() || name.starts_with(char::is_uppercase) {
                continue;
            }
            let allowed = floor_of(&name).is_some_and(|(other, other_place)| {
                other < floor
                    || (floor == 0
                        && other == 0
                        && (other_place < place || place < 3 && other_place < 3))
            });
            if !allowed {
                wrong.push(format!("{} uses crate::{name}", path.display()));
            }
        }
    }
}

#[test]
fn no_floor_knows_one_above_it() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut wrong = Vec::new();
    let mut seen = 0;
    for entry in fs::read_dir(&src).expect("src") {
        let path = entry.expect("entry").path();
        let module = path
            .file_stem()
            .and_then(|stem| stem.to_str())
            .expect("utf-8 name")
            .to_owned();
        if module != "lib" {
            seen += 1;
            check(&module, &path, &mut wrong);
        }
    }
    assert!(seen > 10, "the sources were found");
    assert!(
        wrong.is_empty(),
        "imports against the drawing:\n{}",
        wrong.join("\n")
    );
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
