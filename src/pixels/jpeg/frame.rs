//! The headers of a JPEG's frame and of its scans: what is in the image, and what of it a scan sends. What is not decoded is named here.
//!
//! Not here: the segments that they lie in (`segments`).

use super::segments::broken;

/// What a frame header says.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    pub(super) progressive: bool,
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) components: Vec<Component>,
}

impl Frame {
    /// The largest of the sampling factors: columns, rows.
    pub(super) fn sampling(&self) -> (usize, usize) {
        let most = |of: fn(&Component) -> usize| self.components.iter().map(of).max().unwrap_or(1);
        (most(|component| component.columns), most(|component| component.rows))
    }
}

/// A component, by its frame header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Component {
    pub(super) id: u8,
    /// Sampling factor from left to right, 1 to 4.
    pub(super) columns: usize,
    /// Sampling factor from top to bottom, 1 to 4.
    pub(super) rows: usize,
    /// Index of its quantisation.
    pub(super) quantisation: usize,
}

/// What a scan header says.
#[derive(Clone, Debug)]
pub(super) struct Scan {
    /// Index of the component in the frame, and of its codes for DC and AC.
    pub(super) components: Vec<(usize, usize, usize)>,
    /// First and last coefficient in zigzag order.
    pub(super) band: (usize, usize),
    /// Bits below that an earlier scan has left out; 0 for a first scan.
    pub(super) before: u8,
    /// Bits below that this scan leaves out.
    pub(super) after: u8,
}

impl Frame {
    /// By the segment behind a frame's marker (T.81, B.2.2).
    pub(super) fn new(marker: u8, segment: &[u8]) -> Result<Self, String> {
        let refused = match marker {
            0xC0..=0xC2 => None,
            0xC9 | 0xCA => {
                Some("its coding is arithmetic, which is not decoded; save it with Huffman codes, as most programs do")
            }
            0xC3 => Some("it is lossless, which is not decoded; save it as an ordinary JPEG or a PNG"),
            _ => Some("it is hierarchical or lossless, which is not decoded; save it as an ordinary JPEG"),
        };
        if let Some(why) = refused {
            return Err(why.to_owned());
        }
        let (&[bits, h0, h1, w0, w1, count], rest) = segment.split_first_chunk().ok_or_else(broken)?;
        let (height, width) = (u16::from_be_bytes([h0, h1]).into(), u16::from_be_bytes([w0, w1]).into());
        if bits != 8 {
            return Err(format!("its samples have {bits} bits, and those of 8 are decoded; save it with 8 bits"));
        }
        if height == 0 {
            return Err("it leaves its height open (DNL), which is not decoded; save it anew".to_owned());
        }
        if width == 0 {
            return Err("it has no columns".to_owned());
        }
        let components: Vec<Component> = rest.as_chunks().0.iter().copied().map(Component::new).collect();
        if components.len() != usize::from(count) || rest.len() != 3 * components.len() {
            return Err(broken());
        }
        if !matches!(count, 1 | 3 | 4) {
            return Err(format!("it has {count} components, and those of 1, 3 or 4 are decoded; save it as RGB"));
        }
        let is_possible = |component: &Component| {
            (1..=4).contains(&component.columns) && (1..=4).contains(&component.rows) && component.quantisation < 4
        };
        if !components.iter().all(is_possible) {
            return Err("its frame header names sampling or tables that there are not".to_owned());
        }
        let frame = Self { progressive: marker == 0xC2, width, height, components };
        let (columns, rows) = frame.sampling();
        if frame.components.iter().any(|component| columns % component.columns != 0 || rows % component.rows != 0) {
            return Err("its sampling is of no whole ratio, which is not decoded; save it as 4:4:4 or 4:2:0".to_owned());
        }
        Ok(frame)
    }
}

impl Component {
    fn new([id, sampling, quantisation]: [u8; 3]) -> Self {
        let (columns, rows) = (usize::from(sampling >> 4), usize::from(sampling & 15));
        Self { id, columns, rows, quantisation: quantisation.into() }
    }
}

impl Scan {
    /// By the segment behind a scan's marker (T.81, B.2.3).
    pub(super) fn new(segment: &[u8], frame: &Frame) -> Result<Self, String> {
        let (&count, rest) = segment.split_first().ok_or_else(broken)?;
        let (selectors, rest) = rest.split_at_checked(2 * usize::from(count)).ok_or_else(broken)?;
        let &[first, last, bits] = rest else { return Err(broken()) };
        let mut components: Vec<(usize, usize, usize)> = Vec::new();
        for &[id, codes] in selectors.as_chunks().0 {
            // of components of the same name each in turn
            let named = frame.components.iter().enumerate().filter(|(_, component)| component.id == id);
            let mut unused =
                named.map(|(index, _)| index).filter(|&index| components.iter().all(|&(c, ..)| c != index));
            let (dc, ac) = (usize::from(codes >> 4), usize::from(codes & 15));
            let index = unused.next().filter(|_| dc < 4 && ac < 4).ok_or("a scan in it names what there is not")?;
            components.push((index, dc, ac));
        }
        if components.is_empty() || components.len() > 4 {
            return Err(broken());
        }
        let (before, after) = (bits >> 4, bits & 15);
        let band = (usize::from(first), usize::from(last));
        if !frame.progressive {
            // libjpeg takes it for the whole whatever it says
            return Ok(Self { components, band: (0, 63), before: 0, after: 0 });
        }
        let is_band = match band {
            (0, last) => last == 0,
            (first, last) => first <= last && last <= 63 && components.len() == 1,
        };
        if !is_band || after > 13 || before > 0 && before != after + 1 {
            return Err("a scan in it sends a part that there is not".to_owned());
        }
        Ok(Self { components, band, before, after })
    }
}
