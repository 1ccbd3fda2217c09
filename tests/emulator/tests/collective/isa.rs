//! Where the PTX ISA puts the elements of matrices ("Matrix Fragments for mma.m16n8k16 with floating point type" and its like), shape by shape as
//! its figures say: element i of a lane, groupID being lane / 4 and threadID_in_group lane % 4.

/// Row and column of an element of a lane.
type Place = fn(group: usize, thread: usize, i: usize) -> (usize, usize);

/// An `mma` without its first modifiers.
pub struct Product {
    pub op: &'static str,
    pub m: usize,
    pub k: usize,
    pub a: Matrix,
    pub b: Matrix,
    pub c: Matrix,
    /// One, of factors and of accumulators as a function of an integer.
    pub one: u64,
    pub accumulator: fn(u64) -> u64,
}

/// How lanes hold a matrix.
pub struct Matrix {
    /// Of an element.
    pub bits: usize,
    /// Elements of a lane.
    pub count: usize,
    pub place: Place,
}

impl Matrix {
    const fn new(bits: usize, count: usize, place: Place) -> Self {
        Self { bits, count, place }
    }

    /// Of a register.
    pub fn width(&self) -> usize {
        self.bits.max(32)
    }

    pub fn per(&self) -> usize {
        self.width() / self.bits
    }

    pub fn registers(&self) -> usize {
        self.count / self.per()
    }

    /// Columns of threads' registers for the matrix that has these elements.
    pub fn registers_of(&self, element: impl Fn(usize, usize) -> u64) -> Vec<[u64; 32]> {
        let mut registers = vec![[0; 32]; self.registers()];
        for i in 0..self.count {
            for (lane, register) in registers[i / self.per()].iter_mut().enumerate() {
                let (row, column) = (self.place)(lane / 4, lane % 4, i);
                *register |= element(row, column) << (i % self.per() * self.bits);
            }
        }
        registers
    }

    /// The element that a lane's registers hold.
    pub fn element_of(&self, registers: &[[u64; 32]], lane: usize, i: usize) -> u64 {
        registers[i / self.per()][lane] >> (i % self.per() * self.bits) & u64::MAX >> (64 - self.bits)
    }
}

// A of m16n8k8 and m16n8k16 with 16 bits.
const A_K8: Matrix = Matrix::new(16, 4, |g, t, i| (if i < 2 { g } else { g + 8 }, t * 2 + (i & 1)));
const A_K16: Matrix = Matrix::new(16, 8, |g, t, i| {
    let row = if i < 2 || (4..6).contains(&i) { g } else { g + 8 };
    (row, if i < 4 { t * 2 + (i & 1) } else { t * 2 + (i & 1) + 8 })
});
const B_K8: Matrix = Matrix::new(16, 2, |g, t, i| (t * 2 + i, g));
const B_K16: Matrix = Matrix::new(16, 4, |g, t, i| (if i < 2 { t * 2 + (i & 1) } else { t * 2 + (i & 1) + 8 }, g));
const C: Matrix = Matrix::new(32, 4, |g, t, i| (if i < 2 { g } else { g + 8 }, t * 2 + (i & 1)));
const C_HALF: Matrix = Matrix::new(16, 4, C.place);
const C_M8: Matrix = Matrix::new(32, 2, |g, t, i| (g, t * 2 + i));
// m16n8k4 and m16n8k8 with tf32.
const A_TF32_K4: Matrix = Matrix::new(32, 2, |g, t, i| (if i == 0 { g } else { g + 8 }, t));
const A_TF32_K8: Matrix =
    Matrix::new(32, 4, |g, t, i| (if i == 0 || i == 2 { g } else { g + 8 }, if i < 2 { t } else { t + 4 }));
const B_TF32_K4: Matrix = Matrix::new(32, 1, |g, t, _| (t, g));
const B_TF32_K8: Matrix = Matrix::new(32, 2, |g, t, i| (if i == 0 { t } else { t + 4 }, g));
// 8 bits.
const A_BYTE_M8: Matrix = Matrix::new(8, 4, |g, t, i| (g, t * 4 + i));
const A_BYTE_K16: Matrix = Matrix::new(8, 8, |g, t, i| (if i < 4 { g } else { g + 8 }, t * 4 + (i & 3)));
const A_BYTE_K32: Matrix = Matrix::new(8, 16, |g, t, i| {
    let row = if i < 4 || (8..12).contains(&i) { g } else { g + 8 };
    (row, if i < 8 { t * 4 + (i & 3) } else { t * 4 + (i & 3) + 16 })
});
const B_BYTE_K16: Matrix = Matrix::new(8, 4, |g, t, i| (t * 4 + i, g));
const B_BYTE_K32: Matrix = Matrix::new(8, 8, |g, t, i| (if i < 4 { t * 4 + (i & 3) } else { t * 4 + (i & 3) + 16 }, g));
// f64.
const A_F64_M8: Matrix = Matrix::new(64, 1, |g, t, _| (g, t));
const A_F64_K4: Matrix = Matrix::new(64, 2, A_TF32_K4.place);
const A_F64_K8: Matrix = Matrix::new(64, 4, A_TF32_K8.place);
const A_F64_K16: Matrix =
    Matrix::new(64, 8, |g, t, i| if i % 2 == 0 { (g, i * 2 + t) } else { (g + 8, i * 2 - 2 + t) });
const B_F64_K4: Matrix = Matrix::new(64, 1, |g, t, _| (t, g));
const B_F64_K8: Matrix = Matrix::new(64, 2, |g, t, i| (t + i * 4, g));
const B_F64_K16: Matrix = Matrix::new(64, 4, |g, t, i| (t + i * 4, g));
const C_F64_M8: Matrix = Matrix::new(64, 2, C_M8.place);
const C_F64: Matrix = Matrix::new(64, 4, C.place);

const fn product(
    op: &'static str,
    (m, k): (usize, usize),
    (a, b, c): (Matrix, Matrix, Matrix),
    one: u64,
    accumulator: fn(u64) -> u64,
) -> Product {
    Product { op, m, k, a, b, c, one, accumulator }
}

const F16: u64 = 0x3C00;
const BF16: u64 = 0x3F80;
const SINGLE: fn(u64) -> u64 = |value| u64::from((value as f32).to_bits());
const DOUBLE: fn(u64) -> u64 = |value| (value as f64).to_bits();
/// Of 2 to 1024.
const HALF: fn(u64) -> u64 = |value| (15 + value.ilog2() as u64) << 10 | (value << (10 - value.ilog2())) & 0x3FF;
const INTEGER: fn(u64) -> u64 = |value| value;
const ONE: u64 = 0x3FF0_0000_0000_0000;

/// Every shape and every kind of element.
pub const PRODUCTS: &[Product] = &[
    product("m16n8k8.row.col.f32.f16.f16.f32", (16, 8), (A_K8, B_K8, C), F16, SINGLE),
    product("m16n8k8.row.col.f16.f16.f16.f16", (16, 8), (A_K8, B_K8, C_HALF), F16, HALF),
    product("m16n8k8.row.col.f32.bf16.bf16.f32", (16, 8), (A_K8, B_K8, C), BF16, SINGLE),
    product("m16n8k16.row.col.f32.f16.f16.f32", (16, 16), (A_K16, B_K16, C), F16, SINGLE),
    product("m16n8k16.row.col.f16.f16.f16.f16", (16, 16), (A_K16, B_K16, C_HALF), F16, HALF),
    product("m16n8k16.row.col.f32.bf16.bf16.f32", (16, 16), (A_K16, B_K16, C), BF16, SINGLE),
    product("m16n8k4.row.col.f32.tf32.tf32.f32", (16, 4), (A_TF32_K4, B_TF32_K4, C), BF16 << 16, SINGLE),
    product("m16n8k8.row.col.f32.tf32.tf32.f32", (16, 8), (A_TF32_K8, B_TF32_K8, C), BF16 << 16, SINGLE),
    product("m8n8k16.row.col.s32.s8.u8.s32", (8, 16), (A_BYTE_M8, B_BYTE_K16, C_M8), 1, INTEGER),
    product("m16n8k16.row.col.s32.u8.s8.s32", (16, 16), (A_BYTE_K16, B_BYTE_K16, C), 1, INTEGER),
    product("m16n8k32.row.col.satfinite.s32.s8.s8.s32", (16, 32), (A_BYTE_K32, B_BYTE_K32, C), 1, INTEGER),
    product("m8n8k4.row.col.f64.f64.f64.f64", (8, 4), (A_F64_M8, B_F64_K4, C_F64_M8), ONE, DOUBLE),
    product("m16n8k4.row.col.f64.f64.f64.f64", (16, 4), (A_F64_K4, B_F64_K4, C_F64), ONE, DOUBLE),
    product("m16n8k8.row.col.f64.f64.f64.f64", (16, 8), (A_F64_K8, B_F64_K8, C_F64), ONE, DOUBLE),
    product("m16n8k16.row.col.f64.f64.f64.f64", (16, 16), (A_F64_K16, B_F64_K16, C_F64), ONE, DOUBLE),
];

impl Product {
    /// A kernel with operands and results where a `Program` has them.
    pub fn text(&self) -> String {
        let mut letters = ('a'..).map(|letter| format!("%{letter}"));
        let mut registers = String::new();
        let mut group = |matrix: &Matrix| {
            let names: Vec<_> = letters.by_ref().take(matrix.registers()).collect();
            registers += &format!(".reg .b{} {}; ", matrix.width(), names.join(", "));
            names.join(", ")
        };
        let (a, b, c) = (group(&self.a), group(&self.b), group(&self.c));
        registers += &format!(".reg .b{} %r<{}>;", self.c.width(), self.c.registers());
        let d: Vec<_> = (0..self.c.registers()).map(|number| format!("%r{number}")).collect();
        let code = format!("mma.sync.aligned.{} {{{}}}, {{{a}}}, {{{b}}}, {{{c}}};", self.op, d.join(", "));
        format!(".version 7.8\n.target sm_90\n.address_size 64\n.entry k() {{ {registers} {code} }}")
    }
}
