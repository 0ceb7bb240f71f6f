//! `include/listenkit.h` is what cbindgen makes of the source. With `LISTENKIT_WRITE_HEADER` set, it is written.

use std::path::Path;

#[test]
fn the_header_is_what_the_source_says() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let config = cbindgen::Config::from_file(root.join("cbindgen.toml")).expect("a configuration");
    let bindings = cbindgen::Builder::new()
        .with_crate(root)
        .with_config(config)
        .generate()
        .expect("the source can be read");
    let mut made = Vec::new();
    bindings.write(&mut made);
    let made = plain(&String::from_utf8(made).expect("text"));
    let path = root.join("../include/listenkit.h");
    if std::env::var_os("LISTENKIT_WRITE_HEADER").is_some() {
        std::fs::write(&path, made).expect("the header can be written");
        return;
    }
    let kept = std::fs::read_to_string(&path).expect("include/listenkit.h");
    assert!(
        made == kept,
        "include/listenkit.h is not what ffi/src says: run\n  LISTENKIT_WRITE_HEADER=1 cargo test -p listenkit-ffi --test header"
    );
}

/// The header as a C reader wants it: what only rustdoc needs is left out (the promises are in the opening, so there is no
/// `# Safety`), a comment of one line takes one line, negative numbers are in parentheses.
fn plain(header: &str) -> String {
    let mut lines: Vec<String> = Vec::new();
    let mut safety = false;
    for line in header.lines() {
        if line.trim() == "# Safety" {
            safety = true;
            // And the empty line before it.
            if lines.last().is_some_and(|line| line.trim().is_empty()) {
                lines.pop();
            }
            continue;
        }
        if safety && line.trim() != "*/" {
            continue;
        }
        safety = false;
        let closes = line.trim() == "*/" && lines.len() >= 2;
        if closes && lines[lines.len() - 2].trim() == "/*" {
            let text = lines.pop().unwrap_or_default();
            let open = lines.pop().unwrap_or_default();
            lines.push(format!("{open} {} */", text.trim()));
        } else {
            lines.push(parenthesised(line));
        }
    }
    let mut text = lines.join("\n");
    text.push('\n');
    text
}

/// `#define NAME (-1)`, so that `2 NAME` is no subtraction.
fn parenthesised(line: &str) -> String {
    match line.rsplit_once(' ') {
        Some((define, number)) if define.starts_with("#define") && number.starts_with('-') => {
            format!("{define} ({number})")
        }
        _ => line.to_owned(),
    }
}
