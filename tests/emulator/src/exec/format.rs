//! What `printf` makes of a format and its arguments: as C has it, without `%n`. Not here: where they come from (`print`).

/// A conversion, `%-8.3f` and the like.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Conversion {
    left: bool,
    plus: bool,
    space: bool,
    alternate: bool,
    zero: bool,
    pub(super) width: Size,
    pub(super) precision: Size,
    /// `hh` 1, `h` 2, none 4, `l`, `ll` and the like 8: bytes of an integer.
    bytes: u32,
    pub(super) letter: u8,
}

/// A width or a precision.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Size {
    /// None is said.
    #[default]
    None,
    /// So many.
    Is(i32),
    /// What an argument before the value says.
    Argument,
}

/// A piece of a format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    Text(Vec<u8>),
    Value(Conversion),
}

/// The kind of an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Integer,
    Fraction,
    Text,
}

/// Cuts a format into pieces. What is no conversion of C's stays as it is.
pub(super) fn pieces(format: &[u8]) -> Vec<Piece> {
    let (mut pieces, mut text, mut at) = (Vec::new(), Vec::new(), 0);
    while at < format.len() {
        match (format[at], format.get(at + 1)) {
            (b'%', Some(b'%')) => {
                text.push(b'%');
                at += 2;
            }
            (b'%', _) => match conversion(&format[at + 1..]) {
                Some((found, length)) => {
                    pieces.extend((!text.is_empty()).then(|| Piece::Text(std::mem::take(&mut text))));
                    pieces.push(Piece::Value(found));
                    at += 1 + length;
                }
                None => {
                    text.push(b'%');
                    at += 1;
                }
            },
            (other, _) => {
                text.push(other);
                at += 1;
            }
        }
    }
    pieces.extend((!text.is_empty()).then_some(Piece::Text(text)));
    pieces
}

/// A conversion behind its per cent sign, and its length.
fn conversion(text: &[u8]) -> Option<(Conversion, usize)> {
    let mut found = Conversion { bytes: 4, ..Conversion::default() };
    let mut at = 0;
    loop {
        match text.get(at)? {
            b'-' => found.left = true,
            b'+' => found.plus = true,
            b' ' => found.space = true,
            b'#' => found.alternate = true,
            b'0' => found.zero = true,
            _ => break,
        }
        at += 1;
    }
    found.width = size(text, &mut at);
    if text.get(at) == Some(&b'.') {
        at += 1;
        found.precision = match size(text, &mut at) {
            Size::None => Size::Is(0),
            size => size,
        };
    }
    while let Some(length) = text.get(at).filter(|letter| b"hljztL".contains(letter)) {
        found.bytes = match (length, found.bytes) {
            (b'h', 2) => 1,
            (b'h', _) => 2,
            _ => 8,
        };
        at += 1;
    }
    found.letter = *text.get(at).filter(|letter| b"diouxXcspeEfFgGaA".contains(letter))?;
    Some((found, at + 1))
}

fn size(text: &[u8], at: &mut usize) -> Size {
    if text.get(*at) == Some(&b'*') {
        *at += 1;
        return Size::Argument;
    }
    let digits = text[*at..].iter().take_while(|letter| letter.is_ascii_digit()).count();
    let number = std::str::from_utf8(&text[*at..*at + digits]).ok().and_then(|digits| digits.parse().ok());
    *at += digits;
    number.map_or(Size::None, Size::Is)
}

impl Conversion {
    /// Bytes of the argument where it is passed.
    pub(super) fn bytes(&self) -> usize {
        match self.kind() {
            Kind::Integer if self.letter != b'p' && self.bytes < 8 => 4,
            _ => 8,
        }
    }

    pub(super) fn kind(&self) -> Kind {
        match self.letter {
            b's' => Kind::Text,
            b'e' | b'E' | b'f' | b'F' | b'g' | b'G' | b'a' | b'A' => Kind::Fraction,
            _ => Kind::Integer,
        }
    }

    /// A width that an argument said: with a minus it also says that the value stands left.
    pub(super) fn set_width(&mut self, width: i32) {
        self.left |= width < 0;
        self.width = Size::Is(width.saturating_abs());
    }

    /// A precision that an argument said: with a minus it is none.
    pub(super) fn set_precision(&mut self, precision: i32) {
        self.precision = if precision < 0 { Size::None } else { Size::Is(precision) };
    }

    fn precision(&self) -> Option<usize> {
        if let Size::Is(precision) = self.precision { usize::try_from(precision).ok() } else { None }
    }

    /// A text.
    pub(super) fn text(&self, text: &[u8]) -> Vec<u8> {
        let shown = self.precision().map_or(text, |most| &text[..most.min(text.len())]);
        self.padded(b"", shown, false)
    }

    /// An integer or a fraction by its bits.
    pub(super) fn number(&self, bits: u64) -> Vec<u8> {
        match self.letter {
            b'c' => self.padded(b"", &[bits as u8], false),
            b'p' if bits == 0 => self.padded(b"", b"(nil)", false),
            b'd' | b'i' => {
                let value = match self.bytes {
                    1 => i64::from(bits as i8),
                    2 => i64::from(bits as i16),
                    4 => i64::from(bits as i32),
                    _ => bits.cast_signed(),
                };
                self.integer(self.sign(value < 0), &value.unsigned_abs().to_string(), value == 0)
            }
            _ if self.kind() == Kind::Fraction => self.fraction(f64::from_bits(bits)),
            letter => {
                let value = match self.bytes {
                    _ if letter == b'p' => bits,
                    1 => u64::from(bits as u8),
                    2 => u64::from(bits as u16),
                    4 => u64::from(bits as u32),
                    _ => bits,
                };
                let (before, digits) = match letter {
                    b'o' => (if self.alternate && value != 0 { "0" } else { "" }, format!("{value:o}")),
                    b'x' => (if self.alternate && value != 0 { "0x" } else { "" }, format!("{value:x}")),
                    b'X' => (if self.alternate && value != 0 { "0X" } else { "" }, format!("{value:X}")),
                    b'p' => ("0x", format!("{value:x}")),
                    _ => ("", value.to_string()),
                };
                self.integer(before, &digits, value == 0)
            }
        }
    }

    fn sign(&self, negative: bool) -> &'static str {
        match (negative, self.plus, self.space) {
            (true, ..) => "-",
            (_, true, _) => "+",
            (_, _, true) => " ",
            _ => "",
        }
    }

    fn integer(&self, before: &str, digits: &str, zero: bool) -> Vec<u8> {
        let least = self.precision().unwrap_or(1);
        let digits = if zero && least == 0 { String::new() } else { format!("{digits:0>least$}") };
        self.padded(before.as_bytes(), digits.as_bytes(), self.zero && self.precision().is_none())
    }

    fn fraction(&self, value: f64) -> Vec<u8> {
        let sign = self.sign(value.is_sign_negative());
        let (size, upper) = (value.abs(), self.letter.is_ascii_uppercase());
        if !size.is_finite() {
            let name = if size.is_nan() { "nan" } else { "inf" };
            let name = if upper { name.to_uppercase() } else { name.to_owned() };
            return self.padded(sign.as_bytes(), name.as_bytes(), false);
        }
        let precision = self.precision().unwrap_or(6);
        let mut digits = match self.letter.to_ascii_lowercase() {
            b'f' => format!("{size:.precision$}"),
            b'e' => scientific(size, precision),
            b'a' => hexadecimal(size, self.precision()),
            _ => self.shortest(size, precision.max(1)),
        };
        if self.alternate && !digits.contains('.') {
            digits.push('.');
        }
        if upper {
            digits.make_ascii_uppercase();
        }
        self.padded(sign.as_bytes(), digits.as_bytes(), self.zero)
    }

    /// `%g`
    fn shortest(&self, size: f64, precision: usize) -> String {
        let written = scientific(size, precision - 1);
        let exponent: i32 = written.split_once('e').and_then(|(_, exponent)| exponent.parse().ok()).unwrap_or(0);
        let (mantissa, tail) = if (-4..precision as i32).contains(&exponent) {
            let places = usize::try_from(precision as i32 - 1 - exponent).unwrap_or(0);
            (format!("{size:.places$}"), String::new())
        } else {
            let (mantissa, exponent) = written.split_once('e').unwrap_or((&written, "+00"));
            (mantissa.to_owned(), format!("e{exponent}"))
        };
        let mantissa = if self.alternate || !mantissa.contains('.') {
            mantissa
        } else {
            mantissa.trim_end_matches('0').trim_end_matches('.').to_owned()
        };
        mantissa + &tail
    }

    /// Filled up to the width, with zeros behind the sign where that is asked for.
    fn padded(&self, before: &[u8], digits: &[u8], zeros: bool) -> Vec<u8> {
        let width = if let Size::Is(width) = self.width { usize::try_from(width).unwrap_or(0) } else { 0 };
        let missing = width.min(1 << 16).saturating_sub(before.len() + digits.len());
        match (self.left, zeros) {
            (true, _) => [before, digits, &vec![b' '; missing]].concat(),
            (false, true) => [before, &vec![b'0'; missing], digits].concat(),
            (false, false) => [&vec![b' '; missing], before, digits].concat(),
        }
    }
}

/// `1.500000e+02`: of C's exponents two digits are the least.
fn scientific(size: f64, precision: usize) -> String {
    let written = format!("{size:.precision$e}");
    let (mantissa, exponent) = written.split_once('e').unwrap_or((&written, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{:02}", exponent.abs())
}

/// `0x1.8p+7`, cut to a precision.
fn hexadecimal(size: f64, precision: Option<usize>) -> String {
    let bits = size.to_bits();
    let (exponent, mut mantissa) = ((bits >> 52) as i32, bits & ((1 << 52) - 1));
    let exponent = match (exponent, mantissa) {
        (0, 0) => 0,
        (0, _) => -1022,
        _ => {
            mantissa |= 1 << 52;
            exponent - 1023
        }
    };
    if let Some(places) = precision.filter(|places| *places < 13) {
        let unit = 1u64 << (52 - 4 * places);
        let (rest, half) = (mantissa % unit, unit / 2);
        mantissa -= rest;
        if rest > half || rest == half && mantissa / unit % 2 == 1 {
            mantissa += unit;
        }
    }
    let places = format!("{:013x}", mantissa & ((1 << 52) - 1));
    let places = match precision {
        Some(precision) => format!("{places:0<precision$}")[..precision].to_owned(),
        None => places.trim_end_matches('0').to_owned(),
    };
    let dot = if places.is_empty() { "" } else { "." };
    format!("0x{}{dot}{places}p{exponent:+}", mantissa >> 52)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    /// One conversion of bits, as C's printf gives it (glibc 2.36).
    fn printed(format: &str, bits: u64) -> String {
        let pieces = pieces(format.as_bytes());
        let all = pieces.iter().flat_map(|piece| match piece {
            Piece::Text(text) => text.clone(),
            Piece::Value(conversion) => conversion.number(bits),
        });
        String::from_utf8(all.collect()).unwrap()
    }

    #[test]
    fn integers_are_as_c_prints_them() {
        for (format, value, text) in [
            ("%d", -5, "-5"),
            ("%i|", 7, "7|"),
            ("%u", -1, "4294967295"),
            ("%lld", -5, "-5"),
            ("%llu", -1, "18446744073709551615"),
            ("%hhd", 255, "-1"),
            ("%hu", 65537, "1"),
            ("%5d|%-5d|%05d|%+d|% d", 42, "   42|42   |00042|+42| 42"),
            ("%.3d|%8.3d|%08.3d", 7, "007|     007|     007"),
            ("%x %X %#x %o %#o", 255, "ff FF 0xff 377 0377"),
            ("%.0d|%#x", 0, "|0"),
            ("%c%c", 65, "AA"),
            ("%p", 0x2000_0000, "0x20000000"),
            ("%p", 0, "(nil)"),
            ("100%% %d%%", 3, "100% 3%"),
            ("%y %d", 3, "%y 3"),
        ] {
            assert_eq!(printed(format, (value as i64).cast_unsigned()), text, "{format}");
        }
    }

    #[test]
    fn fractions_are_as_c_prints_them() {
        for (format, value, text) in [
            ("%f", 1.5, "1.500000"),
            ("%.2f|%8.2f|%-8.2f|%08.2f", -2.345, "-2.35|   -2.35|-2.35   |-0002.35"),
            ("%.0f %#.0f", 2.5, "2 2."),
            ("%e %.1E", 12345.678, "1.234568e+04 1.2E+04"),
            ("%g %g", 100_000.0, "100000 100000"),
            ("%g", 1e-5, "1e-05"),
            ("%g %#g", 0.5, "0.5 0.500000"),
            ("%.3g", 1234.5, "1.23e+03"),
            ("%g", 1_000_000.0, "1e+06"),
            ("%f %5F", f64::INFINITY, "inf   INF"),
            ("%g", f64::NAN, "nan"),
            ("%a %.1a", 1.5, "0x1.8p+0 0x1.8p+0"),
            ("%.0a", 1.5, "0x2p+0"),
            ("%a", 0.0, "0x0p+0"),
        ] {
            assert_eq!(printed(format, value.to_bits()), text, "{format}");
        }
    }

    #[test]
    fn texts_are_cut_and_filled() {
        let conversion = |format: &str| match pieces(format.as_bytes()).remove(0) {
            Piece::Value(conversion) => conversion,
            Piece::Text(text) => unreachable!("{text:?}"),
        };
        assert_eq!(conversion("%5s").text(b"abc"), b"  abc");
        assert_eq!(conversion("%-5.2s").text(b"abc"), b"ab   ");
        let mut told = conversion("%*.*s");
        told.set_width(-4);
        told.set_precision(1);
        assert_eq!(told.text(b"abc"), b"a   ");
    }
}
