//! The language of a transcript, whatever a recogniser calls it.
//!
//! Recognisers say `en-US`, `en_us`, `eng`, `cmn-Hans-CN`, `english` or `multi`. Tables of thresholds and words are keyed by
//! one short code. This is the one place that leads from the former to the latter.

use std::fmt;

/// A language, and the region if one was named: `pt` or `pt-BR`.
///
/// ```
/// use listenkit::Language;
///
/// let language = Language::parse("cmn_hans_cn").expect("a language");
/// assert_eq!((language.base(), language.region()), ("zh", Some("CN")));
/// assert_eq!(language.to_string(), "zh-CN");
/// assert_eq!(Language::parse("multi"), None); // not known: use the last known language, or a neutral default
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Language {
    /// Lower case, zeros behind.
    base: [u8; 3],
    /// Upper case or digits, zeros behind.
    region: [u8; 3],
}

impl Language {
    /// Reads a BCP 47 tag, leniently: any case, `_` for `-`, ISO 639-2 and 639-3 codes, POSIX locales (`en_US.UTF-8`) and
    /// the English names that Whisper gives (`english`).
    ///
    /// `None` if the tag names no single language: empty, `multi`, `auto`, `und`, `mul`, `zxx`, `mis`, a list, or
    /// anything that is no tag.
    pub fn parse(tag: &str) -> Option<Self> {
        let tag = tag.trim().split(['.', '@']).next()?;
        let mut subtags = tag.split(['-', '_']);
        let mut base = base_code(subtags.next()?)?;
        let mut region = [0; 3];
        for (place, subtag) in subtags.enumerate() {
            let bytes = subtag.as_bytes();
            match bytes.len() {
                // A singleton: what follows are extensions, no part of the language.
                1 => break,
                2 if bytes.iter().all(u8::is_ascii_alphabetic) && region[0] == 0 => {
                    region = padded(subtag)?.map(|b| b.to_ascii_uppercase());
                }
                3 if bytes.iter().all(u8::is_ascii_digit) && region[0] == 0 => {
                    region = padded(subtag)?;
                }
                // `zh-yue`, `ar-arz`: the old way to name a member of a language family.
                3 if place == 0 && bytes.iter().all(u8::is_ascii_alphabetic) => {
                    base = base_code(subtag)?;
                }
                4..=8 if bytes.iter().all(u8::is_ascii_alphanumeric) => {}
                _ => return None,
            }
        }
        Some(Self { base, region })
    }

    /// The ISO 639-1 code if there is one (`en`), else the 639-3 code (`yue`). Lower case.
    pub fn base(&self) -> &str {
        text(&self.base)
    }

    /// The region as ISO 3166-1 (`BR`) or UN M.49 (`419`), if the tag named one. Upper case.
    pub fn region(&self) -> Option<&str> {
        (self.region[0] != 0).then(|| text(&self.region))
    }
}

impl fmt::Display for Language {
    /// `pt-BR`, or `pt` without a region.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.base())?;
        match self.region() {
            Some(region) => write!(f, "-{region}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Language({self})")
    }
}

/// The code of a first subtag, mapped to the shortest one in use.
fn base_code(subtag: &str) -> Option<[u8; 3]> {
    let lower = |word: &str| word.eq_ignore_ascii_case(subtag);
    if NO_LANGUAGE.split(' ').any(lower) || !subtag.bytes().all(|b| b.is_ascii_alphabetic()) {
        return None;
    }
    let renamed = |table: &'static str| {
        table
            .split_ascii_whitespace()
            .filter_map(|entry| entry.split_once('>'))
            .find(|(from, _)| lower(from))
            .map(|(_, to)| to)
    };
    match subtag.len() {
        2 | 3 => renamed(SHORTER).map_or_else(|| lower_case(subtag), padded),
        _ => padded(renamed(NAMES)?),
    }
}

fn lower_case(code: &str) -> Option<[u8; 3]> {
    padded(code).map(|code| code.map(|b| b.to_ascii_lowercase()))
}

fn padded(code: &str) -> Option<[u8; 3]> {
    let mut padded = [0; 3];
    padded
        .get_mut(..code.len())?
        .copy_from_slice(code.as_bytes());
    Some(padded)
}

fn text(code: &[u8; 3]) -> &str {
    let len = code.iter().position(|&b| b == 0).unwrap_or(code.len());
    std::str::from_utf8(&code[..len]).expect("ASCII letters and digits by construction")
}

/// Codes that say that the language is not known, is several, or is none (ISO 639-2), and what recognisers say instead.
const NO_LANGUAGE: &str = "und mul mis zxx multi multilingual auto unknown none null c posix";

/// Longer and retired codes to those that tables are keyed by: ISO 639-2/T, 639-2/B and 639-3 to 639-1; the members of the
/// Chinese, Arabic, Malay, Swahili and Norwegian families that recognisers name, as in CLDR's aliases, but Norwegian to
/// `no`, which is what threshold tables say; codes withdrawn by ISO, and Whisper's `jw`.
const SHORTER: &str = "
aar>aa abk>ab ave>ae afr>af aka>ak amh>am arg>an ara>ar asm>as ava>av aym>ay aze>az bak>ba bel>be bul>bg bis>bi bam>bm
ben>bn bod>bo tib>bo bre>br bos>bs cat>ca che>ce cha>ch cos>co cre>cr ces>cs cze>cs chu>cu chv>cv cym>cy wel>cy dan>da
deu>de ger>de div>dv dzo>dz ewe>ee ell>el gre>el eng>en epo>eo spa>es est>et eus>eu baq>eu fas>fa per>fa ful>ff fin>fi
fij>fj fao>fo fra>fr fre>fr fry>fy gle>ga gla>gd glg>gl grn>gn guj>gu glv>gv hau>ha heb>he hin>hi hmo>ho hrv>hr hat>ht
hun>hu hye>hy arm>hy her>hz ina>ia ind>id ile>ie ibo>ig iii>ii ipk>ik ido>io isl>is ice>is ita>it iku>iu jpn>ja jav>jv
kat>ka geo>ka kon>kg kik>ki kua>kj kaz>kk kal>kl khm>km kan>kn kor>ko kau>kr kas>ks kur>ku kom>kv cor>kw kir>ky lat>la
ltz>lb lug>lg lim>li lin>ln lao>lo lit>lt lub>lu lav>lv mlg>mg mah>mh mri>mi mao>mi mkd>mk mac>mk mal>ml mon>mn mar>mr
msa>ms may>ms mlt>mt mya>my bur>my nau>na nde>nd nep>ne ndo>ng nld>nl dut>nl nor>no nbl>nr nav>nv nya>ny oci>oc oji>oj
orm>om ori>or oss>os pan>pa pli>pi pol>pl pus>ps por>pt que>qu roh>rm run>rn ron>ro rum>ro rus>ru kin>rw san>sa srd>sc
snd>sd sme>se sag>sg sin>si slk>sk slo>sk slv>sl smo>sm sna>sn som>so sqi>sq alb>sq srp>sr ssw>ss sot>st sun>su swe>sv
swa>sw tam>ta tel>te tgk>tg tha>th tir>ti tuk>tk tgl>tl tsn>tn ton>to tur>tr tso>ts tat>tt twi>tw tah>ty uig>ug ukr>uk
urd>ur uzb>uz ven>ve vie>vi vol>vo wln>wa wol>wo xho>xh yid>yi yor>yo zha>za zho>zh chi>zh zul>zu
cmn>zh arb>ar arz>ar apc>ar ajp>ar acm>ar afb>ar ary>ar ars>ar aeb>ar zsm>ms swh>sw nob>no nno>no nb>no nn>no pes>fa
iw>he in>id ji>yi jw>jv mo>ro";

/// Language names as Whisper and the services built on it write them, for the languages that any of the supported turn models
/// or cue tables know.
const NAMES: &str = "
arabic>ar bengali>bn chinese>zh mandarin>zh cantonese>yue danish>da dutch>nl flemish>nl german>de english>en finnish>fi
french>fr hindi>hi indonesian>id italian>it japanese>ja korean>ko marathi>mr norwegian>no nynorsk>no polish>pl
portuguese>pt russian>ru spanish>es castilian>es turkish>tr ukrainian>uk vietnamese>vi";

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(tag: &str) -> String {
        Language::parse(tag).map_or("-".into(), |language| language.to_string())
    }

    #[test]
    fn spellings_of_one_language_are_one_language() {
        for (tags, expected) in [
            ("en EN eng english English en-x-test en-u-ca-buddhist", "en"),
            (
                "pt-BR pt_br PT-br por-BR pt_BR.UTF-8 pt-Latn-BR pt-BR-u-x pt_BR@latin",
                "pt-BR",
            ),
            (
                "zh zho chi cmn zh-Hans zh_hans zh-cmn chinese mandarin zh-cmn-Hans",
                "zh",
            ),
            ("zh-CN cmn-Hans-CN zh_hans_cn zh-cmn-Hans-CN", "zh-CN"),
            ("yue zh-yue cantonese", "yue"),
            ("yue-Hant-HK zh-yue-HK", "yue-HK"),
            ("ar ara arb arz ar-arz arabic", "ar"),
            ("ja jpn japanese JA", "ja"),
            ("es-419 spa_419", "es-419"),
            ("de-CH-1996 de-CH ger-ch", "de-CH"),
            ("no nb nn nob nno nor norwegian", "no"),
            ("id in ind indonesian", "id"),
            ("he iw heb", "he"),
        ] {
            for tag in tags.split(' ') {
                assert_eq!(parsed(tag), expected, "{tag}");
            }
        }
    }

    #[test]
    fn what_names_no_single_language_is_none() {
        for tag in [
            "",
            " ",
            "multi",
            "MULTI",
            "auto",
            "und",
            "mul",
            "zxx",
            "mis",
            "unknown",
            "en,es",
            "en;q=1",
            "x-klingon",
            "i-enochian",
            "e",
            "C",
            "C.UTF-8",
            "POSIX",
            "12",
            "en--US",
            "en-toolongsubtag",
            "elvish",
            "英語",
            "日本語-JP",
            "enß",
            "-",
            "_",
            "und-US",
            "multi-en",
        ] {
            assert_eq!(parsed(tag), "-", "{tag}");
        }
    }

    #[test]
    fn every_alias_leads_to_a_code_that_is_final() {
        for entry in SHORTER
            .split_ascii_whitespace()
            .chain(NAMES.split_ascii_whitespace())
        {
            let (from, to) = entry.split_once('>').expect("from>to");
            assert_eq!(parsed(from), to);
            assert_eq!(parsed(to), to, "{from} leads on");
        }
    }
}
