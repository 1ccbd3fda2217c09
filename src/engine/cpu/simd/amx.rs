//! AMX: matrices of 16 rows in eight registers of 1 KiB, and instructions that multiply them. Not here: the product that is cut into them (`product/tiled`).
//!
//! One instruction adds to `[16, 16]` sums the products of 16 rows and 16 columns: of 16 depths in which each number stands for two of bf16, or for four bytes. That is what
//! rows and panels hold for AVX-512, so that they serve both.

#![cfg_attr(
    not(all(target_arch = "x86_64", target_os = "linux")),
    allow(dead_code, reason = "where there is no AMX, nobody reads what it would multiply")
)]

/// Rows, columns, and depths in floats, of the largest matrix in a register.
pub(crate) const SIDE: usize = 16;
/// Rows and columns of the sums that a kernel keeps: 2×2 registers. Of the other four, two have rows and two have columns.
pub(crate) const KERNEL: usize = 2 * SIDE;

/// What takes the place of a float.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Operands {
    /// Two numbers of bf16; sums are floats.
    Pairs,
    /// Four bytes, unsigned in rows and signed in columns; sums are of 32 bits.
    Quads,
}

/// Sums, row by row. Those of a second matrix of rows or of columns that is not there are zero; rows that the registers were not set up for are not written.
#[repr(C, align(64))]
pub(crate) struct Sums(pub(crate) [[f32; KERNEL]; KERNEL]);

/// One or two matrices of rows. Each starts with a slice, and its rows are `stride` floats apart.
#[derive(Clone, Copy)]
pub(crate) struct Matrices<'a> {
    pub(crate) values: &'a [&'a [f32]],
    pub(crate) stride: usize,
}

/// Columns that rows are multiplied by, `[steps · 16, width]`.
#[derive(Clone, Copy)]
pub(crate) struct Panel<'a> {
    pub(crate) values: &'a [f32],
    /// 16 or 32.
    pub(crate) width: usize,
    /// Times 16 floats of depth, at least one.
    pub(crate) steps: usize,
}

/// What is prefetched meanwhile, into the first cache.
#[derive(Clone, Copy)]
pub(crate) struct Ahead {
    pub(crate) next: *const f32,
    /// Cache lines in each step.
    pub(crate) lines: usize,
}

#[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
pub(crate) use none::{Amx, Registers};
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
pub(crate) use x86::{Amx, Registers};

/// Where there is none.
#[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
mod none {
    use std::convert::Infallible;

    use super::{Ahead, Matrices, Operands, Panel, Sums};

    #[derive(Clone, Copy, Debug)]
    pub(crate) struct Amx(Infallible);

    pub(crate) struct Registers(Infallible);

    impl Amx {
        pub(crate) fn available() -> Option<Self> {
            None
        }

        pub(crate) fn registers(self, _rows: usize) -> Registers {
            match self.0 {}
        }
    }

    impl Registers {
        pub(crate) fn multiply(&self, _: Operands, _: Matrices<'_>, _: Panel<'_>, _: Ahead, _: &mut Sums) {
            match self.0 {}
        }
    }
}

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
#[allow(unsafe_code, reason = "the instructions have no functions in stable Rust")]
mod x86 {
    use std::arch::asm;
    use std::marker::PhantomData;
    use std::sync::OnceLock;

    use super::{Ahead, KERNEL, Matrices, Operands, Panel, SIDE, Sums};

    /// Linux' number for the state of AMX' registers, of which a process must ask for the use: they are 8 KiB of each thread.
    const TILE_DATA: libc::c_ulong = 18;
    /// To ask.
    const ARCH_REQ_XCOMP_PERM: libc::c_int = 0x1023;

    /// Proof that this machine has AMX for bf16 and bytes, and that this process may use it.
    #[derive(Clone, Copy, Debug)]
    pub(crate) struct Amx(());

    /// The registers of this thread, from when their shapes are set until they are released.
    pub(crate) struct Registers {
        /// Of each matrix of rows.
        rows: usize,
        /// They are the thread's.
        thread: PhantomData<*const ()>,
    }

    impl Amx {
        /// The proof, if it is true.
        pub(crate) fn available() -> Option<Self> {
            static THERE: OnceLock<bool> = OnceLock::new();
            let there = *THERE.get_or_init(|| {
                let features = raw_cpuid::CpuId::new().get_extended_feature_info();
                let has = features.is_some_and(|has| has.has_amx_tile() && has.has_amx_bf16() && has.has_amx_int8());
                // SAFETY: the call takes two numbers and changes what the kernel saves of this process' threads, nothing else.
                has && unsafe { libc::syscall(libc::SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, TILE_DATA) } == 0
            });
            there.then_some(Self(()))
        }

        /// Sets the registers up for matrices of this many rows, at most 16.
        #[inline(always)]
        pub(crate) fn registers(self, rows: usize) -> Registers {
            assert!((1..=SIDE).contains(&rows), "{rows} rows");
            /// As LDTILECFG reads it.
            #[repr(C, align(64))]
            struct Shapes {
                palette: u8,
                first_row: u8,
                reserved: [u8; 14],
                row_bytes: [u16; 16],
                rows: [u8; 16],
            }
            let mut shapes = Shapes { palette: 1, first_row: 0, reserved: [0; 14], row_bytes: [0; 16], rows: [0; 16] };
            for register in 0..8 {
                shapes.row_bytes[register] = 64;
                // 0 to 3 are sums, 4 and 5 rows, 6 and 7 columns
                shapes.rows[register] = if register < 6 { rows as u8 } else { SIDE as u8 };
            }
            // SAFETY: `self` is the proof that the instruction may be used; it reads 64 bytes, whose shapes are within the limits of palette 1. No code but this file's uses the
            // registers: the compiler has no use for them.
            unsafe {
                asm!("ldtilecfg [{0}]", in(reg) &raw const shapes, options(nostack, preserves_flags, readonly));
            }
            Registers { rows, thread: PhantomData }
        }
    }

    impl Drop for Registers {
        #[inline(always)]
        fn drop(&mut self) {
            // so that the kernel need not save them when it runs another thread
            // SAFETY: whoever has `Registers` had the proof.
            unsafe { asm!("tilerelease", options(nomem, nostack, preserves_flags)) }
        }
    }

    /// A kernel, with what it does in each step.
    macro_rules! kernel {
        ([$($step:expr),*], $a:expr, $b:expr, $ahead:expr, $sums:expr) => {{
            let ([first, second], row_bytes) = $a;
            let Panel { values, width, steps } = $b;
            asm!(
                "tilezero tmm0",
                "tilezero tmm1",
                "tilezero tmm2",
                "tilezero tmm3",
                "2:",
                $($step,)*
                "mov {line}, {lines}",
                "3:",
                "prefetcht0 [{next}]",
                "add {next}, 64",
                "dec {line}",
                "jg 3b",
                "add {first}, 64",
                "add {second}, 64",
                "lea {columns}, [{columns} + 8*{width}]",
                "lea {columns}, [{columns} + 8*{width}]",
                "dec {steps}",
                "jnz 2b",
                "tilestored [{sums} + 1*{sums_width}], tmm0",
                "tilestored [{sums} + 1*{sums_width} + 64], tmm1",
                "tilestored [{second_sums} + 1*{sums_width}], tmm2",
                "tilestored [{second_sums} + 1*{sums_width} + 64], tmm3",
                first = inout(reg) first => _,
                second = inout(reg) second => _,
                row_bytes = in(reg) row_bytes,
                columns = inout(reg) values.as_ptr() => _,
                width = in(reg) width * size_of::<f32>(),
                steps = inout(reg) steps => _,
                next = inout(reg) $ahead.next => _,
                lines = in(reg) $ahead.lines,
                line = out(reg) _,
                sums = in(reg) $sums.0.as_mut_ptr(),
                second_sums = in(reg) $sums.0[SIDE..].as_mut_ptr(),
                sums_width = in(reg) KERNEL * size_of::<f32>(),
                out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                options(nostack),
            );
        }};
    }

    /// The kernel of one or two matrices of rows, by 16 or 32 columns.
    macro_rules! kernel_of {
        ($dot:literal, $matrices:expr, $a:expr, $b:expr, $ahead:expr, $sums:expr) => {
            match ($matrices, $b.width) {
                (2, KERNEL) => kernel!(
                    [
                        "tileloadd tmm4, [{first} + 1*{row_bytes}]",
                        "tileloadd tmm6, [{columns} + 1*{width}]",
                        concat!($dot, " tmm0, tmm4, tmm6"),
                        "tileloadd tmm7, [{columns} + 1*{width} + 64]",
                        concat!($dot, " tmm1, tmm4, tmm7"),
                        "tileloadd tmm5, [{second} + 1*{row_bytes}]",
                        concat!($dot, " tmm2, tmm5, tmm6"),
                        concat!($dot, " tmm3, tmm5, tmm7")
                    ],
                    $a,
                    $b,
                    $ahead,
                    $sums
                ),
                (2, SIDE) => kernel!(
                    [
                        "tileloadd tmm4, [{first} + 1*{row_bytes}]",
                        "tileloadd tmm6, [{columns} + 1*{width}]",
                        concat!($dot, " tmm0, tmm4, tmm6"),
                        "tileloadd tmm5, [{second} + 1*{row_bytes}]",
                        concat!($dot, " tmm2, tmm5, tmm6")
                    ],
                    $a,
                    $b,
                    $ahead,
                    $sums
                ),
                (1, KERNEL) => kernel!(
                    [
                        "tileloadd tmm4, [{first} + 1*{row_bytes}]",
                        "tileloadd tmm6, [{columns} + 1*{width}]",
                        concat!($dot, " tmm0, tmm4, tmm6"),
                        "tileloadd tmm7, [{columns} + 1*{width} + 64]",
                        concat!($dot, " tmm1, tmm4, tmm7")
                    ],
                    $a,
                    $b,
                    $ahead,
                    $sums
                ),
                (1, SIDE) => kernel!(
                    [
                        "tileloadd tmm4, [{first} + 1*{row_bytes}]",
                        "tileloadd tmm6, [{columns} + 1*{width}]",
                        concat!($dot, " tmm0, tmm4, tmm6")
                    ],
                    $a,
                    $b,
                    $ahead,
                    $sums
                ),
                (matrices, width) => unreachable!("{matrices} matrices of rows by {width} columns"),
            }
        };
    }

    impl Registers {
        /// Multiplies one or two matrices of rows by a panel. Each has the rows that the registers were set up for, and of each `steps` times 16 floats are read.
        #[inline(always)]
        pub(crate) fn multiply(
            &self,
            of: Operands,
            rows: Matrices<'_>,
            panel: Panel<'_>,
            ahead: Ahead,
            sums: &mut Sums,
        ) {
            let Panel { values, width, steps } = panel;
            assert!(steps > 0 && values.len() >= steps * SIDE * width, "{steps} steps of {width} columns");
            let Matrices { values: matrices, stride } = rows;
            let needed = (self.rows - 1) * stride + steps * SIDE;
            assert!(matrices.iter().all(|matrix| matrix.len() >= needed), "{steps} steps of {} rows", self.rows);
            let first = matrices[0].as_ptr();
            let second = matrices.get(1).map_or(first, |matrix| matrix.as_ptr());
            let a = ([first, second], stride * size_of::<f32>());
            // SAFETY: whoever has `Registers` had the proof that the instructions may be used, and the registers have their shapes. What is read lies in the rows and in the panel,
            // what is written in the sums, by the assertions above; a prefetch may be of any address.
            unsafe {
                match of {
                    Operands::Pairs => kernel_of!("tdpbf16ps", matrices.len(), a, panel, ahead, sums),
                    Operands::Quads => kernel_of!("tdpbusd", matrices.len(), a, panel, ahead, sums),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::cpu::simd::bf16::pair;

    /// What two rows that stand in floats give: `operands` of each, multiplied and added in f64.
    fn dot(of: Operands, row: f32, column: f32) -> f64 {
        let (row, column) = (row.to_bits(), column.to_bits());
        match of {
            Operands::Pairs => {
                let halves = |bits: u32| [bits << 16, bits & 0xffff_0000].map(|bits| f64::from(f32::from_bits(bits)));
                halves(row).into_iter().zip(halves(column)).map(|(a, b)| a * b).sum()
            }
            Operands::Quads => {
                let (unsigned, signed) = (row.to_le_bytes(), column.to_le_bytes());
                unsigned.into_iter().zip(signed).map(|(a, b)| f64::from(a) * f64::from(b as i8)).sum()
            }
        }
    }

    #[test]
    fn kernels_of_all_shapes_multiply_as_arithmetic_does() {
        let Some(amx) = Amx::available() else { return };
        let mut random = fastrand::Rng::with_seed(1);
        for of in [Operands::Pairs, Operands::Quads] {
            // whole numbers, whose sums are exact in any order
            let mut number = || match of {
                Operands::Pairs => pair(random.i32(-9..=9) as f32, random.i32(-9..=9) as f32),
                Operands::Quads => f32::from_bits(random.u32(..)),
            };
            for (rows, matrices, width, steps) in
                (1..=SIDE).flat_map(|rows| [(rows, 1, 16, 1), (rows, 1, 32, 3), (rows, 2, 16, 2), (rows, 2, 32, 5)])
            {
                let stride = steps * SIDE + 16;
                let values: Vec<f32> = (0..matrices * rows * stride).map(|_| number()).collect();
                let panel: Vec<f32> = (0..steps * SIDE * width).map(|_| number()).collect();
                let mut sums = Sums([[f32::NAN; KERNEL]; KERNEL]);
                amx.registers(rows).multiply(
                    of,
                    Matrices { values: &[&values[..], &values[rows * (matrices - 1) * stride..]][..matrices], stride },
                    Panel { values: &panel, width, steps },
                    Ahead { next: panel.as_ptr(), lines: 1 },
                    &mut sums,
                );
                for (matrix, row, column) in (0..matrices).flat_map(|matrix| {
                    (0..rows).flat_map(move |row| (0..width).map(move |column| (matrix, row, column)))
                }) {
                    let of_row = &values[(matrix * rows + row) * stride..][..steps * SIDE];
                    let expected: f64 = of_row
                        .iter()
                        .enumerate()
                        .map(|(depth, number)| dot(of, *number, panel[depth * width + column]))
                        .sum();
                    let found = sums.0[matrix * SIDE + row][column];
                    let found = match of {
                        Operands::Pairs => f64::from(found),
                        Operands::Quads => f64::from(found.to_bits() as i32),
                    };
                    assert_eq!(found, expected, "{of:?}, {matrices}×{rows} rows, {width} columns, {steps} steps");
                }
            }
        }
    }
}
