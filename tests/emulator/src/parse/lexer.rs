//! PTX's words. A dot begins a word of its own (`ld.global.f32` is `ld`, `.global`, `.f32`), and so do the directives.

use super::syntax::Number;
use super::{Error, Fault};

/// A word and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) line: usize,
    /// Nothing stands between it and the word before.
    pub(super) joined: bool,
}

/// What a word is.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    /// `ld`, `%r1`, `$L__BB0_1`
    Word(String),
    /// `.global`, without its dot
    Dot(String),
    Number(Number),
    Text(String),
    /// One character, or one of `<<`, `>>`, `<=`, `>=`, `==`, `!=`, `&&`, `||`.
    Sign(&'static str),
}

const SIGNS: &[&str] = &[
    "<<", ">>", "<=", ">=", "==", "!=", "&&", "||", "(", ")", "[", "]", "{", "}", "<", ">", ",", ";", ":", "=", "+",
    "-", "*", "/", "%", "&", "|", "^", "~", "!", "?", "@",
];

/// Cuts a text into words.
pub(super) fn words(text: &str) -> Result<Vec<Token>, Error> {
    let mut lexer = Lexer { rest: text, line: 1, joined: false };
    let mut tokens = Vec::new();
    while let Some(token) = lexer.next()? {
        tokens.push(token);
    }
    Ok(tokens)
}

struct Lexer<'a> {
    rest: &'a str,
    line: usize,
    joined: bool,
}

/// A letter of a name that is not its first.
fn inside(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '$'
}

impl Lexer<'_> {
    fn error(&self, fault: Fault) -> Error {
        Error { line: self.line, fault }
    }

    /// Takes so many bytes.
    fn take(&mut self, bytes: usize) -> &str {
        let (taken, rest) = self.rest.split_at(bytes);
        self.line += taken.matches('\n').count();
        self.rest = rest;
        taken
    }

    /// Takes characters while they are such.
    fn take_while(&mut self, such: impl Fn(char) -> bool) -> String {
        let end = self.rest.find(|c| !such(c)).unwrap_or(self.rest.len());
        self.take(end).to_owned()
    }

    /// Skips what means nothing.
    fn skip(&mut self) -> Result<(), Error> {
        self.joined = true;
        loop {
            let end = if self.rest.starts_with(|c: char| c.is_ascii_whitespace() || c == '\0') {
                self.rest.find(|c: char| !c.is_ascii_whitespace() && c != '\0').unwrap_or(self.rest.len())
            } else if self.rest.starts_with("//") {
                self.rest.find('\n').unwrap_or(self.rest.len())
            } else if self.rest.starts_with("/*") {
                self.rest.find("*/").map(|end| end + 2).ok_or_else(|| self.error(Fault::Unended("comment")))?
            } else {
                return Ok(());
            };
            self.take(end);
            self.joined = false;
        }
    }

    fn next(&mut self) -> Result<Option<Token>, Error> {
        self.skip()?;
        let (line, joined) = (self.line, self.joined);
        let Some(first) = self.rest.chars().next() else { return Ok(None) };
        let kind = match first {
            '0'..='9' => Kind::Number(self.number()?),
            '.' => {
                self.take(1);
                // `.L2::128B` is one word
                let mut word = self.take_while(inside);
                while self.rest.starts_with("::") {
                    word += self.take(2);
                    word += &self.take_while(inside);
                }
                if word.is_empty() {
                    return Err(self.error(Fault::Unexpected("a lone dot".to_owned())));
                }
                Kind::Dot(word)
            }
            '"' => {
                let end = self.rest[1..].find('"').ok_or_else(|| self.error(Fault::Unended("text")))?;
                Kind::Text(self.take(end + 2)[1..=end].to_owned())
            }
            // a per cent sign before a letter begins the name of a register
            _ if inside(first) || first == '%' && self.rest[1..].starts_with(inside) => {
                let sigil = self.take(1).to_owned();
                Kind::Word(sigil + &self.take_while(inside))
            }
            _ => {
                let sign = SIGNS.iter().find(|sign| self.rest.starts_with(**sign));
                let sign = sign.ok_or_else(|| self.error(Fault::Unexpected(format!("the character {first:?}"))))?;
                self.take(sign.len());
                Kind::Sign(sign)
            }
        };
        Ok(Some(Token { kind, line, joined }))
    }

    fn number(&mut self) -> Result<Number, Error> {
        // digits, letters of other bases, and a fraction with its exponent
        let digits = self.rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(self.rest.len());
        let fraction =
            self.rest[digits..].strip_prefix('.').filter(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
        let word = &self.rest[..digits];
        let bits = |prefix: [char; 2]| word.strip_prefix('0').and_then(|word| word.strip_prefix(prefix));
        let (number, len) =
            if fraction.is_some() || !word.starts_with("0x") && !word.starts_with("0X") && decimal_exponent(word) {
                let len = decimal(self.rest);
                (self.rest[..len].parse().ok().map(|value: f64| Number::Double(value.to_bits())), len)
            } else if let Some(hex) = bits(['f', 'F']) {
                (u32::from_str_radix(hex, 16).ok().filter(|_| hex.len() == 8).map(Number::Single), digits)
            } else if let Some(hex) = bits(['d', 'D']) {
                (u64::from_str_radix(hex, 16).ok().filter(|_| hex.len() == 16).map(Number::Double), digits)
            } else {
                (integer(word), digits)
            };
        let number =
            number.ok_or_else(|| self.error(Fault::Unexpected(format!("the number {}", &self.rest[..len]))))?;
        self.take(len);
        Ok(number)
    }
}

/// Whether digits are followed by an exponent without a fraction, as in `1e9`.
fn decimal_exponent(word: &str) -> bool {
    word.split_once(['e', 'E']).is_some_and(|(digits, rest)| {
        digits.bytes().all(|c| c.is_ascii_digit()) && rest.bytes().all(|c| c.is_ascii_digit())
    })
}

/// Bytes of a decimal fraction.
fn decimal(text: &str) -> usize {
    let digits = |from: usize| from + text[from..].find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len() - from);
    let mut end = digits(0);
    if text[end..].starts_with('.') {
        end = digits(end + 1);
    }
    if text[end..].starts_with(['e', 'E']) {
        let sign = usize::from(text[end + 1..].starts_with(['+', '-']));
        end = digits(end + 1 + sign);
    }
    end
}

/// Decimal, octal (`07`), hexadecimal (`0x7`) or binary (`0b1`), with `U` for an unsigned one.
fn integer(word: &str) -> Option<Number> {
    let (digits, unsigned) = match word.strip_suffix('U') {
        Some(digits) => (digits, true),
        None => (word, false),
    };
    let value = match digits.strip_prefix('0') {
        None => digits.parse().ok()?,
        Some("") => 0,
        Some(rest) => match rest.strip_prefix(['x', 'X']) {
            Some(hex) => u64::from_str_radix(hex, 16).ok()?,
            None => match rest.strip_prefix(['b', 'B']) {
                Some(binary) => u64::from_str_radix(binary, 2).ok()?,
                None => u64::from_str_radix(rest, 8).ok()?,
            },
        },
    };
    Some(match i64::try_from(value) {
        Ok(value) if !unsigned => Number::Int(value),
        _ => Number::Unsigned(value),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn kinds(text: &str) -> Vec<Kind> {
        words(text).unwrap().into_iter().map(|token| token.kind).collect()
    }

    #[test]
    fn modifiers_begin_with_a_dot_and_registers_with_a_per_cent_sign() {
        let [word, dot] = [|text: &str| Kind::Word(text.into()), |text: &str| Kind::Dot(text.into())];
        assert_eq!(
            kinds("ld.global.L2::128B.f32 %f1, [%rd1+4];"),
            [
                word("ld"),
                dot("global"),
                dot("L2::128B"),
                dot("f32"),
                word("%f1"),
                Kind::Sign(","),
                Kind::Sign("["),
                word("%rd1"),
                Kind::Sign("+"),
                Kind::Number(Number::Int(4)),
                Kind::Sign("]"),
                Kind::Sign(";"),
            ]
        );
        assert_eq!(kinds("%tid.x % 3"), [word("%tid"), dot("x"), Kind::Sign("%"), Kind::Number(Number::Int(3))]);
    }

    #[test]
    fn numbers_are_read_in_every_base() {
        let number = |text: &str| match &kinds(text)[..] {
            [Kind::Number(number)] => *number,
            other => unreachable!("{text} is {other:?}"),
        };
        for (text, value) in [("0", 0), ("12", 12), ("010", 8), ("0x1F", 31), ("0b101", 5)] {
            assert_eq!(number(text), Number::Int(value), "{text}");
        }
        assert_eq!(number("0xFFFFFFFFU"), Number::Unsigned(0xFFFF_FFFF));
        assert_eq!(number("0xFFFFFFFFFFFFFFFF"), Number::Unsigned(u64::MAX));
        assert_eq!(number("0f3F800000"), Number::Single(0x3F80_0000));
        assert_eq!(number("0D400921FB54442D18"), Number::Double(0x4009_21FB_5444_2D18));
        for (text, value) in [("2.5", 2.5), ("1e3", 1000.0), ("1.5e-2", 0.015)] {
            assert_eq!(number(text), Number::Double(f64::to_bits(value)), "{text}");
        }
        for wrong in ["0f3F80", "0xG", "09", "0b2", "18446744073709551616", "1x"] {
            assert!(words(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn comments_are_skipped_and_lines_counted() {
        let tokens = words("a /* x\n y */ b // c\nd").unwrap();
        assert_eq!(tokens.iter().map(|token| token.line).collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(words("a\n/* b").unwrap_err().to_string(), "line 2: a comment without an end");
        assert_eq!(words("\n§").unwrap_err().to_string(), "line 2: the character '§' is not expected here");
    }
}
