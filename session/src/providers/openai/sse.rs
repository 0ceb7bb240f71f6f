//! Server-sent events, as far as chat completions use them: the data of each event.

/// A longer line is no event of a language model.
const LINE_LIMIT: usize = 4 * 1024 * 1024;

/// Takes bytes in any split and gives the data of events that are complete.
///
/// Lines end with LF, CR or CRLF. Bytes are read as text only when their line is complete, so a split inside a character does no harm.
#[derive(Debug, Default)]
pub(crate) struct SseDecoder {
    line: Vec<u8>,
    data: Option<String>,
    after_cr: bool,
    started: bool,
}

impl SseDecoder {
    /// Adds bytes.
    ///
    /// # Errors
    /// What is wrong with them.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<Vec<String>, String> {
        let mut events = Vec::new();
        for &byte in bytes {
            let after_cr = std::mem::replace(&mut self.after_cr, byte == b'\r');
            match byte {
                b'\n' if after_cr => {}
                b'\n' | b'\r' => events.extend(self.end_line()?),
                byte if self.line.len() < LINE_LIMIT => self.line.push(byte),
                _ => return Err(format!("a line is longer than {LINE_LIMIT} bytes")),
            }
        }
        Ok(events)
    }

    /// The stream is over: an event whose empty line is missing counts, for servers that forget it.
    ///
    /// # Errors
    /// What is wrong with the last line.
    pub(crate) fn finish(&mut self) -> Result<Option<String>, String> {
        if !self.line.is_empty() {
            self.end_line()?;
        }
        Ok(self.data.take())
    }

    fn end_line(&mut self) -> Result<Option<String>, String> {
        let line = std::mem::take(&mut self.line);
        let line = String::from_utf8(line).map_err(|_| "an event is no UTF-8".to_owned())?;
        let first = !std::mem::replace(&mut self.started, true);
        let line = match first {
            true => line.strip_prefix('\u{feff}').unwrap_or(&line),
            false => &line,
        };
        if line.is_empty() {
            return Ok(self.data.take());
        }
        // Comments, and the fields event, id and retry, say nothing that is needed.
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        if field == "data" {
            let value = value.strip_prefix(' ').unwrap_or(value);
            match &mut self.data {
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
                None => self.data = Some(value.to_owned()),
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(bytes: &[u8], split: usize) -> Result<Vec<String>, String> {
        let mut decoder = SseDecoder::default();
        let mut events = Vec::new();
        for part in bytes.chunks(split) {
            events.extend(decoder.push(part)?);
        }
        events.extend(decoder.finish()?);
        Ok(events)
    }

    #[test]
    fn events_are_the_same_for_every_split_and_every_line_end() {
        let stream = "\u{feff}: hello\ndata: {\"a\":\ndata: \"héé 👋\"}\n\nevent: x\nid: 1\ndata:no space\n\n\n:\n\ndata\n\ndata:  two\n\nretry: 5\ndata: [DONE]\n\n";
        let expected = ["{\"a\":\n\"héé 👋\"}", "no space", "", " two", "[DONE]"];
        for end in ["\n", "\r\n", "\r"] {
            let stream = stream.replace('\n', end);
            for split in 1..stream.len() {
                assert_eq!(decode(stream.as_bytes(), split).unwrap(), expected);
            }
        }
    }

    #[test]
    fn an_event_without_its_empty_line_counts_at_the_end() {
        assert_eq!(decode(b"data: a\n\ndata: b\n", 4).unwrap(), ["a", "b"]);
        assert_eq!(decode(b"data: b", 4).unwrap(), ["b"]);
        assert!(decode(b"event: x", 4).unwrap().is_empty());
    }

    #[test]
    fn what_is_no_text_is_refused() {
        assert!(decode(b"data: \xff\n\n", 3).is_err());
    }
}
