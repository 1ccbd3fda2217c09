//! The model of sectors and wavefronts alone: the addresses of `hardware/ptx/counted.ptx` by their formulas, without executing it.

use cuda_emulator::count::{Access, Class, Count, Element, LaunchReport, Line, Shape, Tile, sectors, wavefronts};

use crate::recorded::{Recorded, counters, recorded};

/// Where buffers begin; the driver's are multiples of 512.
const BASE: u64 = 0x7f00_0000_0000;

/// What the warps of a launch do, an access of a warp at a time.
#[derive(Default)]
struct Warps(Vec<Line>);

impl Warps {
    fn note(&mut self, class: Class, count: Count) {
        self.0.push(Line {
            line: 1,
            class,
            text: class.to_string(),
            count: Count { executed: 1, threads: 32, ..count },
        });
    }

    fn global(&mut self, class: Class, size: u64, address: impl Fn(u64) -> u64) {
        let sectors = sectors(&std::array::from_fn(|lane| BASE + address(lane as u64)), u32::MAX, size as usize);
        self.note(class, Count { requests: 1, sectors: u64::from(sectors), ..Count::default() });
    }

    fn shared(&mut self, class: Class, mask: u32, size: u64, access: Access, offset: impl Fn(u64) -> u64) {
        let offsets = std::array::from_fn(|lane| offset(lane as u64) as u32);
        let passes = wavefronts(&offsets, mask, size as usize, access);
        let [wavefronts, ideal] = [passes.actual, passes.ideal].map(u64::from);
        self.note(class, Count { wavefronts, ideal, ..Count::default() });
    }

    /// Thread `i` copies what `from` says to `i`.
    fn copy(&mut self, size: u64, from: impl Fn(u64) -> u64) {
        for warp in 0..512 {
            self.global(Class::GlobalLoad, size, |lane| from(warp * 32 + lane) * size);
            self.global(Class::GlobalStore, size, |lane| (warp * 32 + lane) * size);
        }
    }

    /// Each lane writes and reads `size` bytes of shared memory.
    fn spread(&mut self, size: u64, stride: u64) {
        self.shared(Class::SharedStore, u32::MAX, size, Access::Store, |lane| lane * stride);
        self.shared(Class::SharedLoad, u32::MAX, size, Access::Load, |lane| lane * stride);
        self.global(Class::GlobalStore, 4, |lane| lane * 4);
    }

    fn transpose(&mut self, width: u64, pitch: u64) {
        for (block, row) in (0..64).flat_map(|block| (0..32).map(move |row| (block, row))) {
            let (x, y) = (block % 8 * 32, block / 8 * 32);
            self.global(Class::GlobalLoad, 4, |lane| ((y + row) * width + x + lane) * 4);
            self.shared(Class::SharedStore, u32::MAX, 4, Access::Store, |lane| row * pitch + lane * 4);
            self.shared(Class::SharedLoad, u32::MAX, 4, Access::Load, |lane| lane * pitch + row * 4);
            self.global(Class::GlobalStore, 4, |lane| ((x + row) * width + y + lane) * 4);
        }
    }

    fn tile(&mut self, swizzle: impl Fn(u64) -> u64) {
        self.global(Class::GlobalLoad, 16, |lane| lane * 16);
        (0..4)
            .for_each(|row| self.shared(Class::SharedStore, u32::MAX, 16, Access::Store, |lane| row * 512 + lane * 16));
        let row = |lane: u64| lane % 16 * 128 + ((lane / 16) ^ swizzle(lane)) * 16;
        self.shared(Class::Matrix, u32::MAX, 16, Access::Matrix, row);
        self.shared(Class::Matrix, 0xffff, 16, Access::Matrix, row);
        let tile = Tile { m: 16, n: 8, k: 16, factor: Element::F16, half: false };
        self.note(Class::Mma(tile), Count::default());
        self.global(Class::GlobalStore, 16, |lane| lane * 16);
    }
}

fn counted(launch: &Recorded) -> LaunchReport {
    let mut warps = Warps::default();
    let stride = launch.stride;
    match launch.kernel.as_str() {
        "copy_coalesced" => warps.copy(4, |thread| thread),
        "copy_vector" => warps.copy(16, |thread| thread),
        "copy_strided" => warps.copy(4, |thread| thread * stride),
        "copy_shifted" => warps.copy(4, |thread| thread + stride),
        "transpose_conflicts" => warps.transpose(stride, 128),
        "transpose_padded" => warps.transpose(stride, 132),
        "shared_words" => warps.spread(4, stride),
        "shared_pairs" => warps.spread(8, stride),
        "shared_quads" => warps.spread(16, stride),
        "tile_conflicts" => warps.tile(|_| 0),
        "tile_swizzled" => warps.tile(|lane| lane % 8),
        other => panic!("{other} has no formula"),
    }
    let (kernel, grid, block) = (launch.kernel.clone(), launch.grid, launch.block);
    LaunchReport::new(
        Shape { kernel, grid, block, static_shared: 0, dynamic_shared: 0, arguments: String::new() },
        warps.0,
    )
}

#[test]
fn sectors_and_wavefronts_are_those_of_an_h100() {
    let launches = recorded();
    let compared: usize = launches.iter().map(|launch| launch.compare(&counters(&counted(launch)))).sum();
    assert_eq!((launches.len(), compared), (37, 37 * 25));
}
