//! The registers of a warp as structure of arrays: 32 lanes beside each other, so that one operation is one loop over them. Not here: names,
//! which decoding has turned into slots.

/// Threads of a warp.
pub const LANES: usize = 32;

/// A bit a lane, lane 0 the lowest.
pub type Mask = u32;

/// Where a register lies. 8 and 16 bits live in a word, whose upper bits mean nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Slot {
    /// Up to 32 bits a lane.
    Word(u32),
    /// 64 bits a lane.
    Long(u32),
    /// A bit a lane.
    Predicate(u32),
}

/// How many registers of each kind a kernel has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sizes {
    /// Of up to 32 bits.
    pub words: u32,
    /// Of 64 bits.
    pub longs: u32,
    /// Of one bit.
    pub predicates: u32,
}

/// The registers of one warp.
#[derive(Clone, Debug)]
pub struct Registers {
    words: Vec<[u32; LANES]>,
    longs: Vec<[u64; LANES]>,
    predicates: Vec<Mask>,
    /// From where approximate instructions take the errors that they are allowed; 0 for none.
    pub noise: u64,
}

/// What a fresh register holds: hardware promises nothing, and this is a NaN in every type of 32 and 64 bits.
const POISON: u32 = 0xFFED_BEEF;

/// A type that a lane of a register can be read as.
pub trait Lane: Copy + Default {
    /// From the low bits.
    fn from_bits64(bits: u64) -> Self;
    /// As the register gets it: signed integers with their sign in all upper bits.
    fn to_bits64(self) -> u64;
    /// From a word.
    fn from_word(bits: u32) -> Self;
    /// To a word.
    fn to_word(self) -> u32;
}

macro_rules! lanes {
    ($($ty:ty: $from:expr, $to:expr, $from_word:expr, $to_word:expr;)*) => {
        $(impl Lane for $ty {
            #[inline(always)]
            fn from_bits64(bits: u64) -> Self { $from(bits) }
            #[inline(always)]
            fn to_bits64(self) -> u64 { $to(self) }
            #[inline(always)]
            fn from_word(bits: u32) -> Self { $from_word(bits) }
            #[inline(always)]
            fn to_word(self) -> u32 { $to_word(self) }
        })*
    };
}

lanes! {
    u8: |bits| bits as u8, |value| value as u64, |bits| bits as u8, |value| value as u32;
    i8: |bits| bits as i8, |value| value as i64 as u64, |bits| bits as i8, |value| value as i32 as u32;
    u16: |bits| bits as u16, |value| value as u64, |bits| bits as u16, |value| value as u32;
    i16: |bits| bits as i16, |value| value as i64 as u64, |bits| bits as i16, |value| value as i32 as u32;
    u32: |bits| bits as u32, |value| value as u64, |bits| bits, |value| value;
    i32: |bits| bits as i32, |value| value as i64 as u64, |bits| bits as i32, |value| value as u32;
    u64: |bits| bits, |value| value, |bits| bits as u64, |value| value as u32;
    i64: |bits| bits as i64, |value| value as u64, |bits| bits as i32 as i64, |value| value as u32;
    f32: |bits| f32::from_bits(bits as u32), |value| f32::to_bits(value) as u64, f32::from_bits, f32::to_bits;
    f64: f64::from_bits, f64::to_bits, |bits| f64::from_bits(bits as u64), |value| f64::to_bits(value) as u32;
}

impl Registers {
    /// Registers that hold nothing anyone has written.
    pub fn new(sizes: Sizes) -> Self {
        let long = u64::from(POISON) << 32 | u64::from(POISON);
        Self {
            words: vec![[POISON; LANES]; sizes.words as usize],
            longs: vec![[long; LANES]; sizes.longs as usize],
            predicates: vec![0xAAAA_AAAA; sizes.predicates as usize],
            noise: 0,
        }
    }

    /// A register of up to 32 bits where it lies; None for one of another kind.
    #[inline(always)]
    pub fn words(&self, slot: Slot) -> Option<&[u32; LANES]> {
        if let Slot::Word(index) = slot { self.words.get(index as usize) } else { None }
    }

    /// A register of 64 bits where it lies; None for one of another kind.
    #[inline(always)]
    pub fn longs(&self, slot: Slot) -> Option<&[u64; LANES]> {
        if let Slot::Long(index) = slot { self.longs.get(index as usize) } else { None }
    }

    /// A register of up to 32 bits, to be written; None for one of another kind.
    #[inline(always)]
    pub fn words_mut(&mut self, slot: Slot) -> Option<&mut [u32; LANES]> {
        if let Slot::Word(index) = slot { self.words.get_mut(index as usize) } else { None }
    }

    /// A register of 64 bits, to be written; None for one of another kind.
    #[inline(always)]
    pub fn longs_mut(&mut self, slot: Slot) -> Option<&mut [u64; LANES]> {
        if let Slot::Long(index) = slot { self.longs.get_mut(index as usize) } else { None }
    }

    /// All lanes of a register. Of a wider one the low bits; a predicate is 0 or 1.
    #[inline(always)]
    pub fn read<T: Lane>(&self, slot: Slot) -> [T; LANES] {
        match slot {
            Slot::Word(index) => {
                let words = &self.words[index as usize];
                std::array::from_fn(|lane| T::from_word(words[lane]))
            }
            Slot::Long(index) => {
                let longs = &self.longs[index as usize];
                std::array::from_fn(|lane| T::from_bits64(longs[lane]))
            }
            Slot::Predicate(index) => {
                let bits = self.predicates[index as usize];
                std::array::from_fn(|lane| T::from_word(bits >> lane & 1))
            }
        }
    }

    /// Writes the lanes of a mask, extended to the register's width; of a predicate, whether they are not 0.
    #[inline(always)]
    pub fn write<T: Lane>(&mut self, slot: Slot, values: &[T; LANES], mask: Mask) {
        match slot {
            Slot::Word(index) => {
                let words = &mut self.words[index as usize];
                if mask == Mask::MAX {
                    *words = std::array::from_fn(|lane| values[lane].to_word());
                } else {
                    *words =
                        std::array::from_fn(
                            |lane| {
                                if mask >> lane & 1 == 1 { values[lane].to_word() } else { words[lane] }
                            },
                        );
                }
            }
            Slot::Long(index) => {
                let longs = &mut self.longs[index as usize];
                if mask == Mask::MAX {
                    *longs = std::array::from_fn(|lane| values[lane].to_bits64());
                } else {
                    *longs =
                        std::array::from_fn(
                            |lane| {
                                if mask >> lane & 1 == 1 { values[lane].to_bits64() } else { longs[lane] }
                            },
                        );
                }
            }
            Slot::Predicate(_) => {
                let bits = (0..LANES).fold(0, |bits, lane| bits | u32::from(values[lane].to_bits64() != 0) << lane);
                self.write_predicate(slot, bits, mask);
            }
        }
    }

    /// One lane, zero-extended.
    #[inline(always)]
    pub fn lane(&self, slot: Slot, lane: usize) -> u64 {
        match slot {
            Slot::Word(index) => u64::from(self.words[index as usize][lane]),
            Slot::Long(index) => self.longs[index as usize][lane],
            Slot::Predicate(index) => u64::from(self.predicates[index as usize] >> lane & 1),
        }
    }

    /// Sets one lane.
    #[inline(always)]
    pub fn set_lane(&mut self, slot: Slot, lane: usize, bits: u64) {
        match slot {
            Slot::Word(index) => self.words[index as usize][lane] = bits as u32,
            Slot::Long(index) => self.longs[index as usize][lane] = bits,
            Slot::Predicate(_) => self.write_predicate(slot, u32::from(bits != 0) << lane, 1 << lane),
        }
    }

    /// A predicate's bits; of another register, which lanes are not 0.
    #[inline(always)]
    pub fn predicate(&self, slot: Slot) -> Mask {
        match slot {
            Slot::Predicate(index) => self.predicates[index as usize],
            other => {
                let values: [u64; LANES] = self.read(other);
                (0..LANES).fold(0, |bits, lane| bits | u32::from(values[lane] != 0) << lane)
            }
        }
    }

    /// Sets a predicate's bits under a mask.
    #[inline(always)]
    pub fn write_predicate(&mut self, slot: Slot, bits: Mask, mask: Mask) {
        if let Slot::Predicate(index) = slot {
            let old = &mut self.predicates[index as usize];
            *old = *old & !mask | bits & mask;
        } else {
            let values: [u32; LANES] = std::array::from_fn(|lane| bits >> lane & 1);
            self.write(slot, &values, mask);
        }
    }
}
