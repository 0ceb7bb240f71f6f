//! The language that a script gives away, for transcripts whose language is not known.

/// The base code of the known language that is written in the script of `text`; `None` for Latin script, for none, and where
/// letters show that another language of the script is meant (Ukrainian, Persian, Marathi ...).
pub(super) fn language(text: &str) -> Option<&'static str> {
    let any = |letters: fn(char) -> bool| text.chars().any(letters);
    // Japanese has kanji between kana, Korean sometimes between hangul, so Chinese comes last.
    if any(|c| matches!(c, '\u{3041}'..='\u{3096}' | '\u{30a1}'..='\u{30fa}')) {
        Some("ja")
    } else if any(|c| matches!(c, '\u{ac00}'..='\u{d7a3}')) {
        Some("ko")
    } else if any(|c| matches!(c, '\u{904}'..='\u{939}')) {
        (!any(|c| c == 'ळ')).then_some("hi")
    } else if any(|c| matches!(c, '\u{621}'..='\u{64a}')) {
        (!any(|c| "پچژگکیٹڈڑےںہ".contains(c))).then_some("ar")
    } else if any(|c| matches!(c, '\u{410}'..='\u{44f}')) {
        (!any(|c| "іїєґўјљњћђџѓќѕәғқңөұүһ".contains(c))).then_some("ru")
    } else if any(|c| matches!(c, '\u{4e00}'..='\u{9fff}')) {
        Some("zh")
    } else {
        None
    }
}
