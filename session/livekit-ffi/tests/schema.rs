//! The messages against LiveKit's own schema: the serialised descriptors in an installed Python package `livekit`.
//!
//! What is declared is read from the source, attribute by attribute, so a number that the derive macro sees is the number that is compared.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use prost::Message;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, EnumDescriptorProto, FileDescriptorProto};

const SOURCE: &str = include_str!("../src/messages.rs");

/// Oneofs, and the messages that they are in.
const ONEOFS: [(&str, &str); 5] = [
    ("Request", "FfiRequest"),
    ("Response", "FfiResponse"),
    ("Event", "FfiEvent"),
    ("RoomMessage", "RoomEvent"),
    ("Stats", "RtcStats"),
];

#[derive(Debug, PartialEq, Eq)]
struct Field {
    name: String,
    number: i32,
    /// `string`, `message`, `enumeration`, `map`, `bool`, `uint32`, `uint64`.
    kind: String,
    label: &'static str,
    /// The message, as its Rust type; or the enumeration.
    of: String,
}

#[derive(Debug, Default)]
struct Declared {
    messages: BTreeMap<String, Vec<Field>>,
    enums: BTreeMap<String, Vec<(String, i32)>>,
    /// Tags that a message lists for its oneof.
    oneof_tags: BTreeMap<String, Vec<i32>>,
}

/// Everything between `#[prost(` and `)]` that precedes a line, with the line.
fn declared(source: &str) -> Declared {
    let mut found = Declared::default();
    let mut block = String::new();
    let mut kind = "";
    let mut attribute = String::new();
    let mut open = false;
    for line in source.lines().map(str::trim) {
        if open || line.starts_with("#[prost(") {
            attribute.push_str(line);
            open = !line.ends_with(")]");
            continue;
        }
        for word in ["pub struct ", "pub enum "] {
            if let Some(rest) = line.strip_prefix(word) {
                block = rest.trim_end_matches(['{', '}', ' ']).to_owned();
                kind = word;
                if word == "pub struct " {
                    found.messages.entry(block.clone()).or_default();
                }
            }
        }
        let attribute = std::mem::take(&mut attribute);
        if attribute.is_empty() {
            if kind == "pub enum "
                && let Some((name, number)) = line.split_once(" = ")
            {
                let number = number.trim_end_matches(',').parse().expect("a number");
                found
                    .enums
                    .entry(block.clone())
                    .or_default()
                    .push((name.to_owned(), number));
            }
            continue;
        }
        let inner = attribute
            .trim_start_matches("#[prost(")
            .trim_end_matches(")]");
        if inner.starts_with("oneof") {
            let tags = quoted(inner, "tags");
            found.oneof_tags.insert(
                quoted(inner, "oneof"),
                tags.split(',')
                    .map(|t| t.trim().parse().expect("a number"))
                    .collect(),
            );
            continue;
        }
        let number = quoted(inner, "tag").parse().expect("a number");
        if kind == "pub enum " {
            let (name, rest) = line.split_once('(').expect("a variant with its message");
            let field = Field {
                name: snake(name),
                number,
                kind: "message".to_owned(),
                label: "optional",
                of: rest.trim_end_matches("),").to_owned(),
            };
            let message = ONEOFS
                .iter()
                .find(|(o, _)| *o == block)
                .expect("a oneof that is listed")
                .1;
            found
                .messages
                .entry(message.to_owned())
                .or_default()
                .push(field);
            continue;
        }
        let line = line.trim_start_matches("pub ").trim_start_matches("r#");
        let (name, of) = line.split_once(": ").expect("a field");
        let of = of.trim_end_matches(',');
        let of = of
            .strip_prefix("Option<")
            .or(of.strip_prefix("Vec<"))
            .unwrap_or(of)
            .trim_end_matches('>');
        let words: Vec<&str> = inner.split(',').map(str::trim).collect();
        let kind = words[0]
            .split([' ', '='])
            .next()
            .expect("a kind")
            .to_owned();
        let label = match (kind.as_str(), &words) {
            ("map", _) => "repeated",
            (_, w) if w.contains(&"required") => "required",
            (_, w) if w.contains(&"repeated") => "repeated",
            (_, w) if w.contains(&"optional") => "optional",
            _ => panic!("{block}.{name} has no label"),
        };
        let of = if kind == "enumeration" {
            quoted(inner, "enumeration")
        } else {
            of.to_owned()
        };
        found
            .messages
            .get_mut(&block)
            .expect("its struct came before")
            .push(Field {
                name: name.to_owned(),
                number,
                kind,
                label,
                of,
            });
    }
    found
}

fn quoted(attribute: &str, key: &str) -> String {
    let at = attribute
        .find(&format!("{key} = \""))
        .unwrap_or_else(|| panic!("{key} in {attribute}"));
    let rest = &attribute[at + key.len() + 4..];
    rest[..rest.find('"').expect("a closing quote")].to_owned()
}

fn snake(name: &str) -> String {
    let mut snake = String::new();
    for c in name.chars() {
        if c.is_ascii_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.push(c.to_ascii_lowercase());
    }
    snake
}

#[derive(Default)]
struct Schema {
    messages: BTreeMap<String, DescriptorProto>,
    enums: BTreeMap<String, EnumDescriptorProto>,
}

impl Schema {
    /// From the files `*_pb2.py` of a package.
    fn read(package: &Path) -> Self {
        let mut schema = Self::default();
        for entry in std::fs::read_dir(package.join("_proto")).expect("the package has its schema")
        {
            let path = entry.expect("readable").path();
            if !path.to_string_lossy().ends_with("_pb2.py") {
                continue;
            }
            let text = std::fs::read_to_string(&path).expect("Python source is text");
            let bytes = serialized_file(&text)
                .unwrap_or_else(|| panic!("{} has no descriptor", path.display()));
            let file = FileDescriptorProto::decode(bytes.as_slice()).expect("a descriptor");
            for message in file.message_type {
                schema.add(String::new(), message);
            }
            for e in file.enum_type {
                schema.enums.insert(e.name().to_owned(), e);
            }
        }
        schema
    }

    fn add(&mut self, outer: String, message: DescriptorProto) {
        let name = outer + message.name();
        for inner in message.nested_type.clone() {
            self.add(name.clone(), inner);
        }
        for e in message.enum_type.clone() {
            self.enums.insert(format!("{name}{}", e.name()), e);
        }
        self.messages.insert(name, message);
    }
}

/// The bytes given to `AddSerializedFile`, out of Python's literal.
fn serialized_file(text: &str) -> Option<Vec<u8>> {
    let at = text.find("AddSerializedFile(b")? + "AddSerializedFile(b".len();
    let quote = *text.as_bytes().get(at)?;
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes()[at + 1..].iter().copied();
    loop {
        let c = rest.next()?;
        if c == quote {
            return Some(bytes);
        }
        if c != b'\\' {
            bytes.push(c);
            continue;
        }
        match rest.next()? {
            b'n' => bytes.push(b'\n'),
            b'r' => bytes.push(b'\r'),
            b't' => bytes.push(b'\t'),
            b'x' => {
                let hex = [rest.next()?, rest.next()?];
                bytes.push(u8::from_str_radix(std::str::from_utf8(&hex).ok()?, 16).ok()?);
            }
            c @ b'0'..=b'7' => {
                let mut value = u32::from(c - b'0');
                let mut ahead = rest.clone();
                for _ in 0..2 {
                    match ahead.next() {
                        Some(d @ b'0'..=b'7') => {
                            value = value * 8 + u32::from(d - b'0');
                            rest = ahead.clone();
                        }
                        _ => break,
                    }
                }
                bytes.push(u8::try_from(value).ok()?);
            }
            other => bytes.push(other),
        }
    }
}

/// What differs, one line each.
fn differences(declared: &Declared, schema: &Schema) -> Vec<String> {
    let mut found = Vec::new();
    for (name, fields) in &declared.messages {
        let Some(message) = schema.messages.get(name) else {
            found.push(format!("{name}: no such message"));
            continue;
        };
        for field in fields {
            let at = format!("{name}.{}", field.name);
            let Some(real) = message.field.iter().find(|f| f.name() == field.name) else {
                found.push(format!("{at}: no such field"));
                continue;
            };
            if real.number() != field.number {
                found.push(format!(
                    "{at}: number {} is {}",
                    field.number,
                    real.number()
                ));
            }
            let label = match real.label() {
                Label::Optional => "optional",
                Label::Required => "required",
                Label::Repeated => "repeated",
            };
            if label != field.label {
                found.push(format!("{at}: {} is {label}", field.label));
            }
            let is_map = |n: &str| {
                schema
                    .messages
                    .get(n)
                    .is_some_and(|m| m.options.as_ref().is_some_and(|o| o.map_entry()))
            };
            // `.livekit.proto.A.B` is `AB` here.
            let of = real
                .type_name()
                .trim_start_matches(".livekit.proto.")
                .replace('.', "");
            let kind = match real.r#type() {
                Type::String => "string",
                Type::Bool => "bool",
                Type::Uint32 => "uint32",
                Type::Uint64 => "uint64",
                Type::Int32 => "int32",
                Type::Int64 => "int64",
                Type::Double => "double",
                Type::Bytes => "bytes",
                Type::Enum => "enumeration",
                Type::Message if is_map(&of) => "map",
                Type::Message => "message",
                other => {
                    found.push(format!("{at}: {other:?} is not expected here"));
                    continue;
                }
            };
            if kind != field.kind {
                found.push(format!("{at}: {} is {kind}", field.kind));
            }
            if matches!(kind, "message" | "enumeration") && of != field.of {
                found.push(format!("{at}: {} is {of}", field.of));
            }
        }
    }
    for (oneof, message) in ONEOFS {
        let mut tags = declared.oneof_tags.get(oneof).cloned().unwrap_or_default();
        let mut numbers: Vec<i32> = declared.messages[message]
            .iter()
            .filter(|f| f.kind == "message")
            .map(|f| f.number)
            .collect();
        tags.sort_unstable();
        numbers.sort_unstable();
        if tags != numbers {
            found.push(format!(
                "{message}: tags {tags:?} are listed for {oneof}, which has {numbers:?}"
            ));
        }
    }
    for (name, values) in &declared.enums {
        let Some(real) = schema.enums.get(name) else {
            found.push(format!("{name}: no such enumeration"));
            continue;
        };
        for (value, number) in values {
            let wanted = snake(value).to_uppercase();
            // Values that begin with the name of their enumeration leave it out here.
            let matches = real.value.iter().any(|v| {
                v.number() == *number
                    && (v.name() == wanted
                        || v.name() == format!("{}_{wanted}", snake(name).to_uppercase()))
            });
            // `AUDIO_STREAM_NATIVE` and the like are written in full.
            if !matches {
                found.push(format!(
                    "{name}.{value}: no such value with number {number}"
                ));
            }
        }
    }
    found
}

/// Packages `livekit` that are installed: those named by `LIVEKIT_PYTHON_PACKAGES` (directories `.../livekit/rtc`), and that of the library that is found.
fn packages() -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = std::env::var_os("LIVEKIT_PYTHON_PACKAGES")
        .map(|v| std::env::split_paths(&v).collect())
        .unwrap_or_default();
    if let Some(path) = listenkit_livekit_ffi::find(None)
        .ok()
        .as_deref()
        .and_then(Path::parent)
        .and_then(Path::parent)
    {
        found.push(path.to_owned());
    }
    found.retain(|p| p.join("_proto").is_dir());
    found
}

#[test]
fn every_message_is_as_in_the_installed_packages() {
    let packages = packages();
    if packages.is_empty() {
        println!(
            "skipped: the comparison with LiveKit's schema needs the Python package `livekit` (pip install livekit, or set LIVEKIT_PYTHON_PACKAGES)"
        );
        return;
    }
    let declared = declared(SOURCE);
    assert!(
        declared.messages.len() > 80 && declared.enums.len() >= 8,
        "the source was read"
    );
    for package in packages {
        let schema = Schema::read(&package);
        assert!(
            schema.messages.len() > 300,
            "{} was read",
            package.display()
        );
        let differences = differences(&declared, &schema);
        assert!(
            differences.is_empty(),
            "{}:\n{}",
            package.display(),
            differences.join("\n")
        );
    }
}

#[test]
fn a_wrong_declaration_is_found() {
    let Some(package) = packages().into_iter().next() else {
        println!("skipped: needs the Python package `livekit`");
        return;
    };
    let schema = Schema::read(&package);
    let good = declared(SOURCE);
    let baseline = differences(&good, &schema);
    assert!(baseline.is_empty(), "{baseline:?}");
    let spoil = |from: &str, to: &str| {
        assert_eq!(SOURCE.matches(from).count(), 1, "{from}");
        differences(&declared(&SOURCE.replace(from, to)), &schema)
    };
    // The number that `metadata` had in library 0.12.44.
    let number = spoil(
        "#[prost(string, required, tag = \"5\")]\n    pub metadata",
        "#[prost(string, required, tag = \"4\")]\n    pub metadata",
    );
    assert_eq!(number, ["ParticipantInfo.metadata: number 4 is 5"]);
    let kind = spoil(
        "#[prost(uint64, required, tag = \"3\")]\n    pub data_len",
        "#[prost(uint32, required, tag = \"3\")]\n    pub data_len",
    );
    assert_eq!(kind, ["PublishDataRequest.data_len: uint32 is uint64"]);
    let label = spoil(
        "#[prost(message, optional, tag = \"4\")]\n    pub user:",
        "#[prost(message, required, tag = \"4\")]\n    pub user:",
    );
    assert_eq!(label, ["DataPacketReceived.user: required is optional"]);
    let value = spoil("StateMismatch = 6", "StateMismatch = 7");
    assert_eq!(
        value,
        ["DisconnectReason.StateMismatch: no such value with number 7"]
    );
    let name = spoil("pub destination_identity:", "pub target_identity:");
    assert_eq!(name, ["PerformRpcRequest.target_identity: no such field"]);
    let of = spoil("pub room: OwnedRoom", "pub room: OwnedTrack");
    assert_eq!(of, ["ConnectCallbackResult.room: OwnedTrack is OwnedRoom"]);
}

#[test]
fn every_number_of_every_field_is_guarded() {
    let Some(package) = packages().into_iter().next() else {
        println!("skipped: needs the Python package `livekit`");
        return;
    };
    let schema = Schema::read(&package);
    let count = SOURCE.matches("tag = \"").count();
    for nth in 0..count {
        let at = SOURCE
            .match_indices("tag = \"")
            .nth(nth)
            .expect("counted")
            .0
            + 7;
        // 95 is the number of no field.
        let end = at + SOURCE[at..].find('"').expect("a closing quote");
        let spoilt = format!("{}95{}", &SOURCE[..at], &SOURCE[end..]);
        assert!(
            !differences(&declared(&spoilt), &schema).is_empty(),
            "field {nth}, at byte {at}"
        );
    }
}
