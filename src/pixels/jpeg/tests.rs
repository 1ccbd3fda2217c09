//! Files that are made to be awkward, byte by byte: more scans than an image needs, and components that are sent twice.

use super::segments::Segments;
use crate::pixels::{decode, probe};

/// Columns and rows of the image in many scans.
const EDGE: u8 = 128;
/// Bytes of a scan of it that sends nothing: its header, a code and the length of a run.
const EMPTY_SCAN: usize = 12;
/// What one image may have.
const MOST: usize = 100;

fn segment(marker: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len() + 2).unwrap().to_be_bytes();
    [&[0xFF, marker], &length[..], body].concat()
}

/// Bits as coded data, filled up with ones.
fn coded(bits: &str) -> Vec<u8> {
    let filled = bits.bytes().chain(std::iter::repeat_n(b'1', bits.len().wrapping_neg() % 8)).collect::<Vec<u8>>();
    let byte = |bits: &[u8]| bits.iter().fold(0, |byte, bit| byte << 1 | (bit - b'0'));
    filled.chunks(8).map(byte).flat_map(|byte| if byte == 0xFF { vec![byte, 0] } else { vec![byte] }).collect()
}

/// A table of these symbols by the codes 0, 10, 110 ….
fn codes(class: u8, symbols: &[u8]) -> Vec<u8> {
    let counts = (0..16).map(|length| u8::from(length < symbols.len()));
    [class << 4].into_iter().chain(counts).chain(symbols.iter().copied()).collect()
}

/// A start of an image of these components, whose quantisation steps are all the same.
fn head(frame: u8, edge: u8, components: u8, step: u8, dc: &[u8], ac: &[u8]) -> Vec<u8> {
    let sizes = [8, 0, edge, 0, edge, components];
    let all = (1..=components).flat_map(|id| [id, 0x11, 0]);
    let steps = [[0].as_slice(), &[step; 64]].concat();
    let frame = segment(frame, &sizes.into_iter().chain(all).collect::<Vec<u8>>());
    let tables = segment(0xC4, &[codes(0, dc), codes(1, ac)].concat());
    [vec![0xFF, 0xD8], segment(0xDB, &steps), frame, tables].concat()
}

/// A scan of these components, of a band, with this coded data.
fn scan(components: &[u8], band: [u8; 2], bits: &str) -> Vec<u8> {
    let selectors = components.iter().flat_map(|id| [*id, 0]);
    let body = [components.len() as u8].into_iter().chain(selectors).chain([band[0], band[1], 0]);
    [segment(0xDA, &body.collect::<Vec<u8>>()), coded(bits)].concat()
}

fn ended(parts: &[Vec<u8>]) -> Vec<u8> {
    [parts.concat(), vec![0xFF, 0xD9]].concat()
}

/// A grey progressive image in so many scans, of which all but the first send its other coefficients again, which are 0.
fn progressive(scans: usize) -> Vec<u8> {
    let blocks = (usize::from(EDGE) / 8).pow(2);
    let dc = scan(&[1], [0, 0], &"0".repeat(blocks));
    // the one code of a band ends it, for this block and 255 more
    let empty = scan(&[1], [1, 63], "000000000");
    assert_eq!(empty.len(), EMPTY_SCAN);
    ended(&[head(0xC2, EDGE, 1, 1, &[0], &[0x80]), dc, empty.repeat(scans - 1)])
}

/// Bytes of the pixels, or why there are none.
fn decoded(jpeg: &[u8]) -> Result<Vec<u8>, String> {
    let image = probe(jpeg, 1 << 20).and_then(|header| decode(jpeg, &header));
    image.map(|image| image.bytes().to_vec()).map_err(|error| error.to_string())
}

#[test]
fn a_hundred_scans_are_decoded_and_one_more_is_refused() {
    let pixels = 3 * usize::from(EDGE).pow(2);
    assert_eq!(decoded(&progressive(MOST)), Ok(vec![128; pixels]));
    for scans in [MOST + 1, 11_000] {
        let error = decoded(&progressive(scans)).unwrap_err();
        assert!(error.contains("more than 100 scans"), "{scans}: {error}");
    }
}

/// 11,000 scans in 132 kB would each cost a pass over all coefficients: they are counted before the first is decoded, and no further than to the limit.
#[test]
fn scans_behind_the_limit_are_not_even_looked_for() {
    let (most, many) = (progressive(MOST), progressive(11_000));
    assert!((130_000..135_000).contains(&many.len()), "{}", many.len());
    let mut segments = Segments::new(&many).unwrap();
    let mut seen = 0;
    let error = segments.each_scan(|_| {
        seen += 1;
        Ok(())
    });
    assert_eq!((error, seen), (Err("it has more than 100 scans".to_owned()), MOST));
    // at most the header of one more was read
    let read = many.len() - segments.rest().len();
    assert!(read < most.len() + EMPTY_SCAN, "{read}");
}

/// The whole of an image of three components of a block each.
const WHOLE: [u8; 2] = [0, 63];
/// A block of DC 5 and a first cosine of 1.
const WAVE: &str = "101011010";
/// One of DC 4 alone.
const FLAT: &str = "101000";
const NOTHING: &str = "00";

fn in_colour(scans: &[(&[u8], &str)]) -> Result<Vec<u8>, String> {
    // numbers of no bits or of three; an end of the block or a number of one bit
    let head = head(0xC0, 8, 3, 16, &[0, 3], &[0, 1]);
    let scans = scans.iter().map(|(components, bits)| scan(components, WHOLE, bits));
    decoded(&ended(&std::iter::once(head).chain(scans).collect::<Vec<_>>()))
}

/// A grey image whose rows are all this one.
fn rows(row: [u8; 8]) -> Vec<u8> {
    row.repeat(8).into_iter().flat_map(|grey| [grey; 3]).collect()
}

#[test]
fn of_a_component_that_is_sent_twice_the_later_numbers_count_and_what_they_do_not_name_stays() {
    let (blue, red) = ((&[2][..], NOTHING), (&[3][..], NOTHING));
    let luma = |bits| (&[1][..], bits);
    // each of them as Pillow 13 shows it
    assert_eq!(in_colour(&[luma(WAVE), blue, red]), Ok(rows([141, 140, 140, 139, 137, 136, 136, 135])));
    assert_eq!(in_colour(&[luma(FLAT), blue, red]), Ok(rows([136; 8])));
    // the DC of the second, and the cosine of the first, of which the second says nothing
    let both = Ok(rows([139, 138, 138, 137, 135, 134, 134, 133]));
    assert_eq!(in_colour(&[luma(WAVE), blue, luma(FLAT), red]), both);
    assert_eq!(in_colour(&[luma(WAVE), blue, red, luma(FLAT)]), both);
    assert_eq!(in_colour(&[luma(FLAT), blue, luma(WAVE), red]), Ok(rows([141, 140, 140, 139, 137, 136, 136, 135])));
}

#[test]
fn a_component_twice_in_one_scan_or_in_place_of_another_is_refused() {
    let twice = [WAVE, FLAT].concat();
    let error = in_colour(&[(&[1, 1], &*twice), (&[2], NOTHING), (&[3], NOTHING)]).unwrap_err();
    assert!(error.contains("names what there is not"), "{error}");
    let error = in_colour(&[(&[1], WAVE), (&[1], FLAT), (&[2], NOTHING)]).unwrap_err();
    assert!(error.contains("scans are missing"), "{error}");
}
