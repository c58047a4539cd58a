//! How a value is split into words: quotes and backslashes as in unit files (`systemd.syntax(7)`).

/// What a backslash does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Backslash {
    /// It stays, as any other character.
    Stays,
    /// It takes the meaning from the next character, and goes.
    Quotes,
    /// It begins one of C's escapes (`\n`, `\x20`, `\s` for a blank, …); any other is refused.
    Escapes,
    /// As `Escapes`, and a separator loses its meaning too.
    EscapesAndSeparators,
    /// As `Escapes`, but what is no escape stays as it is.
    EscapesOrStays,
}

/// How a value is split.
#[derive(Debug, Clone, Copy)]
pub(super) struct Splitter {
    /// What stands between words.
    separators: &'static str,
    /// Whether `"…"` and `'…'` hold separators together.
    quotes: bool,
    backslash: Backslash,
    /// Whether two separators in a row have an empty word between them.
    empty_words: bool,
}

/// The blanks of unit files.
pub(super) const BLANKS: &str = " \t\n\r";

/// Words between blanks, no quotes: `a b`.
pub(super) const PLAIN: Splitter =
    Splitter { separators: BLANKS, quotes: false, backslash: Backslash::Quotes, empty_words: false };

/// Words between blanks, with quotes: `a "b c"`.
pub(super) const QUOTED: Splitter = Splitter { quotes: true, ..PLAIN };

/// Words between blanks, with quotes and escapes: `a "b\x20c"`.
pub(super) const ESCAPED: Splitter = Splitter { backslash: Backslash::Escapes, ..QUOTED };

/// Why a value cannot be split.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unsplit {
    Quote,
    TrailingBackslash,
    Escape,
    Text,
}

impl Unsplit {
    pub fn reason(self) -> &'static str {
        match self {
            Unsplit::Quote => "has a quote that is not closed",
            Unsplit::TrailingBackslash => "ends with a backslash that stands before nothing",
            Unsplit::Escape => "has a backslash before something that is no escape (systemd.syntax(7), \"Quoting\")",
            Unsplit::Text => "has escapes that make no UTF-8, which D-Bus cannot carry",
        }
    }
}

impl Splitter {
    pub const fn separators(self, separators: &'static str) -> Self {
        Splitter { separators, ..self }
    }

    pub const fn backslash(self, backslash: Backslash) -> Self {
        Splitter { backslash, ..self }
    }

    pub const fn empty_words(self) -> Self {
        Splitter { empty_words: true, ..self }
    }

    /// All words.
    pub fn words(self, text: &str) -> Result<Vec<String>, Unsplit> {
        let mut rest = Some(text);
        std::iter::from_fn(|| self.next(&mut rest).transpose()).collect()
    }

    /// The next word of what is left of a value, which is then what comes after the separator behind it, `None` at the
    /// end. With `empty_words` there is a word before and behind each separator, so an empty value has one.
    pub fn next(self, rest: &mut Option<&str>) -> Result<Option<String>, Unsplit> {
        let Some(mut text) = rest.take() else { return Ok(None) };
        if !self.empty_words {
            text = text.trim_start_matches(|c| self.separates(c));
            if text.is_empty() {
                return Ok(None);
            }
        }
        let mut word = Vec::new();
        let mut quote = None;
        while let Some(c) = text.chars().next() {
            text = &text[c.len_utf8()..];
            match c {
                '\\' if self.backslash != Backslash::Stays => text = self.escape(text, &mut word)?,
                _ if quote == Some(c) => quote = None,
                '"' | '\'' if self.quotes && quote.is_none() => quote = Some(c),
                _ if quote.is_none() && self.separates(c) => {
                    if !self.empty_words {
                        text = text.trim_start_matches(|c| self.separates(c));
                    }
                    *rest = Some(text);
                    break;
                }
                _ => word.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        if quote.is_some() {
            return Err(Unsplit::Quote);
        }
        String::from_utf8(word).map(Some).map_err(|_| Unsplit::Text)
    }

    fn separates(self, c: char) -> bool {
        self.separators.contains(c)
    }

    /// Reads what follows a backslash, and gives what comes after it.
    fn escape<'a>(self, text: &'a str, word: &mut Vec<u8>) -> Result<&'a str, Unsplit> {
        let Some(c) = text.chars().next() else {
            if self.backslash == Backslash::EscapesOrStays {
                word.push(b'\\');
                return Ok(text);
            }
            return Err(Unsplit::TrailingBackslash);
        };
        let literal = |word: &mut Vec<u8>| {
            word.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            Ok(&text[c.len_utf8()..])
        };
        match self.backslash {
            Backslash::Stays | Backslash::Quotes => literal(word),
            Backslash::EscapesAndSeparators if self.separates(c) => literal(word),
            Backslash::Escapes | Backslash::EscapesAndSeparators | Backslash::EscapesOrStays => match unescape(text) {
                Some((bytes, length)) => {
                    word.extend_from_slice(&bytes);
                    Ok(&text[length..])
                }
                None if self.backslash == Backslash::EscapesOrStays => {
                    word.push(b'\\');
                    literal(word)
                }
                None => Err(Unsplit::Escape),
            },
        }
    }
}

/// What a C escape stands for, and how long it is. `text` is what follows the backslash.
pub(super) fn unescape(text: &str) -> Option<(Vec<u8>, usize)> {
    let one = |byte: u8| Some((vec![byte], 1));
    let digits = |from: usize, count: usize, radix: u32| {
        let digits = text.get(from..from + count)?;
        let valid = digits.chars().all(|digit| digit.is_digit(radix));
        let number = valid.then(|| u32::from_str_radix(digits, radix).ok()).flatten()?;
        (number != 0).then_some((number, from + count))
    };
    let character = |(number, length)| {
        let c = char::from_u32(number)?;
        Some((c.encode_utf8(&mut [0; 4]).as_bytes().to_vec(), length))
    };
    let byte = |(number, length): (u32, usize)| Some((vec![u8::try_from(number).ok()?], length));
    match *text.as_bytes().first()? {
        b'a' => one(7),
        b'b' => one(8),
        b'f' => one(12),
        b'n' => one(b'\n'),
        b'r' => one(b'\r'),
        b't' => one(b'\t'),
        b'v' => one(11),
        b's' => one(b' '),
        quoted @ (b'\\' | b'"' | b'\'') => one(quoted),
        b'x' => byte(digits(1, 2, 16)?),
        b'u' => character(digits(1, 4, 16)?),
        // Only this long form is refused for a code point that stands for no character.
        b'U' => character(digits(1, 8, 16).filter(|(number, _)| !is_noncharacter(*number))?),
        b'0'..=b'7' => byte(digits(0, 3, 8)?),
        _ => None,
    }
}

/// The Unicode Standard, 23.7.
fn is_noncharacter(number: u32) -> bool {
    matches!(number, 0xfdd0..=0xfdef) || number & 0xfffe == 0xfffe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_between_blanks() {
        assert_eq!(PLAIN.words(" a  b\tc\n").unwrap(), ["a", "b", "c"]);
        assert_eq!(PLAIN.words(r#"a\ b "c d""#).unwrap(), ["a b", "\"c", "d\""]);
        assert_eq!(PLAIN.words("").unwrap(), [""; 0]);
        assert_eq!(PLAIN.words(" ").unwrap(), [""; 0]);
    }

    #[test]
    fn quotes_and_escapes() {
        assert_eq!(QUOTED.words(r#"a"b c"d '' 'e"f'"#).unwrap(), ["ab cd", "", "e\"f"]);
        assert_eq!(ESCAPED.words(r#""a\x20b" \u00e9\n\101"#).unwrap(), ["a b", "é\nA"]);
        assert_eq!(QUOTED.words(r#"a "b"#), Err(Unsplit::Quote));
        assert_eq!(QUOTED.words("a\\"), Err(Unsplit::TrailingBackslash));
        assert_eq!(ESCAPED.words(r"\q"), Err(Unsplit::Escape));
        assert_eq!(ESCAPED.words(r"\x00"), Err(Unsplit::Escape));
        assert_eq!(ESCAPED.words(r"\xff"), Err(Unsplit::Text));
        assert_eq!(ESCAPED.words(r"\ud800"), Err(Unsplit::Escape));
        assert_eq!(ESCAPED.words(r"\U0001ffff"), Err(Unsplit::Escape));
        assert_eq!(ESCAPED.words(r"\U0001f600\uffff").unwrap(), ["\u{1f600}\u{ffff}"]);
        let options = PLAIN.separators(":").backslash(Backslash::EscapesAndSeparators);
        assert_eq!(options.words(r"a\:b\x3a:::c:").unwrap(), ["a:b:", "c"]);
        assert_eq!(options.words(r"a\ b"), Err(Unsplit::Escape));
        assert_eq!(ESCAPED.backslash(Backslash::EscapesOrStays).words(r"a\q\n\").unwrap(), ["a\\q\n\\"]);
        assert_eq!(QUOTED.backslash(Backslash::Stays).words(r"a\ b").unwrap(), ["a\\", "b"]);
    }

    #[test]
    fn empty_words_and_other_separators() {
        let colons = PLAIN.separators(":").empty_words();
        assert_eq!(colons.words("a::b").unwrap(), ["a", "", "b"]);
        assert_eq!(colons.words("a:").unwrap(), ["a", ""]);
        assert_eq!(colons.words("").unwrap(), [""]);
        let mut rest = Some("a:b c:d");
        assert_eq!(colons.next(&mut rest).unwrap().unwrap(), "a");
        assert_eq!(rest, Some("b c:d"));
    }
}
