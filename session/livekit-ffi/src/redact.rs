//! Servers repeat a refused token in their answer; it must not reach a log.

/// The text with `<token>` in place of everything that looks like a JSON web token: three parts or more in base64, of which the first is an object.
pub fn without_tokens(text: &str) -> String {
    let is_token = |word: &str| word.starts_with("eyJ") && word.matches('.').count() >= 2;
    let is_of_token = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let word = rest.find(|c| !is_of_token(c)).unwrap_or(rest.len());
        let end = match word {
            0 => rest.find(is_of_token).unwrap_or(rest.len()),
            word => word,
        };
        let (piece, after) = rest.split_at(end);
        out.push_str(if is_token(piece) { "<token>" } else { piece });
        rest = after;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::without_tokens;

    #[test]
    fn only_tokens_are_taken_out() {
        let answer = "invalid token: eyJ0eXAi.eyJleHAi-9fQ.4b0LA7cq_zEs, error: token signature is invalid: see é example.com.";
        assert_eq!(
            without_tokens(answer),
            "invalid token: <token>, error: token signature is invalid: see é example.com."
        );
        assert_eq!(without_tokens("access_token=x&y"), "access_token=x&y");
        assert_eq!(
            without_tokens("?access_token=eyJ.a.b&c"),
            "?access_token=<token>&c"
        );
        // As the library warns of a failed join.
        assert_eq!(
            without_tokens(r#"Signal(Client(401, "invalid token: eyJ0.eyJ1.s-_g."))"#),
            r#"Signal(Client(401, "invalid token: <token>"))"#
        );
        assert_eq!(without_tokens(""), "");
    }
}
