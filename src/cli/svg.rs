//! SVG by hand: escaped text, widths guessed without a font, colours for a light and a dark surface. Not here: what is drawn.

use std::fmt::{Display, Write};

/// Colours are of classes and not of variables, which not every viewer knows. Inks of 4.5:1 and more on their own background;
/// bars `f0`, `f1`, … differ in lightness too.
const STYLE: &str = "\
text{font:13px system-ui,-apple-system,'Segoe UI',Roboto,'Helvetica Neue',Arial,sans-serif;fill:#16181d;\
font-variant-numeric:tabular-nums}\
.title{font-size:22px;font-weight:650}.strong{font-weight:600}.muted{fill:#5a6270}.small{font-size:12px}\
.ground{fill:#fff}.grid{stroke:#e7e9ee}.base{stroke:#b6bcc7}.roof{stroke:#16181d;stroke-width:2;fill:none}\
.dot{fill:#16181d;stroke:#fff;stroke-width:.7}.track{fill-opacity:.16}\
.f0{fill:#2f6fed}.f1{fill:#e07b12}.f2{fill:#0f9d74}.f3{fill:#7c4ddb}.f4{fill:#d6336c}.f5{fill:#6b7280}\
@media(prefers-color-scheme:dark){text{fill:#eceef2}.muted{fill:#a0a8b5}\
.ground{fill:#14171c}.grid{stroke:#282d35}.base{stroke:#565e6b}.roof{stroke:#eceef2}\
.dot{fill:#eceef2;stroke:#14171c}.track{fill-opacity:.24}\
.f0{fill:#5b95ff}.f1{fill:#f59e42}.f2{fill:#34c795}.f3{fill:#a583f5}.f4{fill:#f06595}.f5{fill:#8b94a3}}";
/// Classes `f0`, `f1`, … of the style.
const FILLS: usize = 6;

/// A drawing that grows downwards.
pub(super) struct Drawing {
    body: String,
    width: f64,
}

/// Where a text's `x` is.
#[derive(Clone, Copy)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

impl Drawing {
    pub(super) fn new(width: f64) -> Self {
        Self { body: String::new(), width }
    }

    pub(super) fn push(&mut self, element: impl Display) {
        let _ = writeln!(self.body, "{element}"); // a String takes everything
    }

    pub(super) fn text(&mut self, (x, y): (f64, f64), class: &str, anchor: Anchor, text: &str) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let text = escape(text);
        self.push(format_args!(r#"<text x="{x:.1}" y="{y:.1}" text-anchor="{anchor}" class="{class}">{text}</text>"#));
    }

    pub(super) fn bar(&mut self, (x, y): (f64, f64), (width, height): (f64, f64), class: &str) {
        self.push(format_args!(
            r#"<rect x="{x:.1}" y="{y:.1}" width="{width:.1}" height="{height:.1}" rx="2" class="{class}"/>"#
        ));
    }

    /// A vertical line.
    pub(super) fn line(&mut self, x: f64, (from, to): (f64, f64), class: &str) {
        self.push(format_args!(r#"<path d="M{x:.1} {from:.1}V{to:.1}" class="{class}"/>"#));
    }

    pub(super) fn dot(&mut self, (x, y): (f64, f64)) {
        self.push(format_args!(r#"<circle cx="{x:.1}" cy="{y:.1}" r="1.8" class="dot"/>"#));
    }

    /// The whole file, with what it says to those who do not see it.
    pub(super) fn finish(self, height: f64, title: &str) -> String {
        let Self { body, width } = self;
        let title = escape(title);
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" \
             viewBox=\"0 0 {width:.0} {height:.0}\" role=\"img\" aria-label=\"{title}\">\n\
             <title>{title}</title>\n<style>{STYLE}</style>\n\
             <rect width=\"100%\" height=\"100%\" class=\"ground\"/>\n{body}</svg>\n"
        )
    }
}

/// The class of the `index`th colour.
pub(super) fn fill(index: usize) -> String {
    format!("f{}", index.min(FILLS - 1))
}

/// Text for XML 1.0, between tags or in double quotes.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            // XML has no way to say these at all
            '\0'..='\x1f' | '\u{fffe}' | '\u{ffff}' => escaped.push('\u{fffd}'),
            letter => escaped.push(letter),
        }
    }
    escaped
}

/// Pixels of a text of 13 pixels' height, guessed rather too wide: the viewer's font is not known here.
pub(super) fn width(text: &str) -> f64 {
    text.chars()
        .map(|letter| if letter.is_ascii() || ('\u{80}'..'\u{590}').contains(&letter) { 7.4 } else { 13.0 })
        .sum()
}

/// A text of at most so many pixels: what is too long loses its middle, for names differ at their ends.
pub(super) fn shorten(text: &str, most: f64) -> String {
    if width(text) <= most {
        return text.to_owned();
    }
    let letters: Vec<char> = text.chars().collect();
    let cut = |keep: usize| -> String {
        let (head, tail) = (&letters[..keep.div_ceil(2)], &letters[letters.len() - keep / 2..]);
        head.iter().chain(&['…']).chain(tail).collect()
    };
    (0..letters.len()).rev().map(cut).find(|text| width(text) <= most).unwrap_or_default()
}

/// Pieces in lines of at most so many pixels, with a point between two of a line.
pub(super) fn lines(pieces: &[String], most: f64) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for piece in pieces {
        let piece = shorten(piece, most);
        match lines.last_mut() {
            Some(line) if width(line) + width(" · ") + width(&piece) <= most => *line += &format!(" · {piece}"),
            _ => lines.push(piece),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_escaped_for_xml() {
        assert_eq!(escape("a<b>&\"c\"\u{7}é"), "a&lt;b&gt;&amp;&quot;c&quot;\u{fffd}é");
    }

    #[test]
    fn a_long_name_keeps_both_its_ends() {
        assert_eq!(shorten("convnext", 100.0), "convnext");
        let short = shorten("convnext_with_a_long_name_at_384", 150.0);
        assert!(short.starts_with("convnext_") && short.ends_with("_384") && width(&short) <= 150.0, "{short}");
        assert!(width(&shorten("図図図図図図図図", 40.0)) <= 40.0);
        assert_eq!(shorten("anything", 0.0), "");
    }

    #[test]
    fn pieces_fill_lines() {
        let pieces = ["aaaa", "bbbb", "cccc"].map(str::to_owned);
        assert_eq!(lines(&pieces, 90.0), ["aaaa · bbbb", "cccc"]);
    }
}
