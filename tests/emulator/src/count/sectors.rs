//! Sectors: the 32 bytes that caches and memory move. One request of a warp touches each sector once, however many lanes want it, as counted
//! by `l1tex__t_sectors`. Whether a cache has them is not asked.

use crate::exec::registers::{LANES, Mask};

/// log2 of a sector's bytes.
const SECTOR: u32 = 5;

/// The sectors that the lanes of a mask touch with accesses of `size` bytes.
pub fn sectors(addresses: &[u64; LANES], mask: Mask, size: usize) -> u32 {
    if mask == 0 || size == 0 {
        return 0;
    }
    let size = size as u64;
    if mask == Mask::MAX && contiguous(addresses, size) {
        let last = addresses[0] + (LANES as u64 * size - 1);
        return ((last >> SECTOR) - (addresses[0] >> SECTOR) + 1) as u32;
    }
    // Inactive lanes repeat the active one before them, which adds nothing.
    let mut touched = [0; LANES];
    let mut before = addresses[mask.trailing_zeros() as usize] >> SECTOR;
    let mut low = 0;
    let mut rising = true;
    for lane in 0..LANES {
        let active = mask >> lane & 1 == 1;
        let sector = if active { addresses[lane] >> SECTOR } else { before };
        low |= if active { addresses[lane] } else { 0 };
        rising &= sector >= before;
        touched[lane] = sector;
        before = sector;
    }
    let aligned = size.is_power_of_two() && size <= 1 << SECTOR && low & (size - 1) == 0;
    if !aligned {
        return straddling(addresses, mask, size);
    }
    if !rising {
        touched.sort_unstable();
    }
    1 + (1..LANES).map(|lane| u32::from(touched[lane] != touched[lane - 1])).sum::<u32>()
}

/// Whether every lane begins where the one before it ends.
fn contiguous(addresses: &[u64; LANES], size: u64) -> bool {
    let first = addresses[0];
    let apart = (0..LANES).fold(0, |apart, lane| apart | (addresses[lane] ^ first.wrapping_add(lane as u64 * size)));
    apart == 0 && first.checked_add(LANES as u64 * size).is_some()
}

/// Accesses that cross a sector's border, which no aligned access of up to 32 bytes does.
#[cold]
fn straddling(addresses: &[u64; LANES], mask: Mask, size: u64) -> u32 {
    let active = (0..LANES).filter(|lane| mask >> lane & 1 == 1).map(|lane| addresses[lane]);
    let touched = active.flat_map(|first| first >> SECTOR..=first.saturating_add(size - 1) >> SECTOR);
    touched.collect::<std::collections::BTreeSet<_>>().len() as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(address: impl Fn(u64) -> u64) -> [u64; LANES] {
        std::array::from_fn(|lane| 0x1000 + address(lane as u64))
    }

    #[test]
    fn neighbours_share_sectors() {
        assert_eq!(sectors(&at(|lane| lane * 4), u32::MAX, 4), 4);
        assert_eq!(sectors(&at(|lane| lane * 16), u32::MAX, 16), 16);
        assert_eq!(sectors(&at(|lane| lane * 2), u32::MAX, 2), 2);
        assert_eq!(sectors(&at(|lane| lane * 4 + 4), u32::MAX, 4), 5);
        assert_eq!(sectors(&at(|_| 0), u32::MAX, 16), 1);
    }

    #[test]
    fn the_order_of_lanes_does_not_matter() {
        assert_eq!(sectors(&at(|lane| (31 - lane) * 4), u32::MAX, 4), 4);
        assert_eq!(sectors(&at(|lane| lane * 5 % 32 * 32), u32::MAX, 4), 32);
        assert_eq!(sectors(&at(|lane| lane % 2 * 4096), u32::MAX, 4), 2);
    }

    #[test]
    fn only_lanes_of_the_mask_count() {
        assert_eq!(sectors(&at(|lane| lane * 32), 0, 4), 0);
        assert_eq!(sectors(&at(|lane| lane * 32), 0x8000_0001, 4), 2);
        assert_eq!(sectors(&at(|lane| (lane ^ 8) * 32), 0xff00, 4), 8);
        assert_eq!(sectors(&at(|lane| (31 - lane) * 4), 0x0fff_fff0, 4), 4);
    }

    #[test]
    fn any_pattern_agrees_with_a_set() {
        let mut state = 1_u64;
        let mut random = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state >> 33
        };
        for _ in 0..2000 {
            let size = 1 << (random() % 6);
            let range = 1 << (random() % 12);
            let addresses = std::array::from_fn(|_| 0x7000 + random() % range * size);
            let mask = (random() | random() << 16) as u32;
            assert_eq!(sectors(&addresses, mask, size as usize), straddling(&addresses, mask, size));
        }
    }

    #[test]
    fn an_access_across_a_border_takes_both_sectors() {
        assert_eq!(sectors(&at(|_| 28), 1, 8), 2);
        assert_eq!(sectors(&at(|lane| lane * 48), 3, 48), 3);
    }
}
