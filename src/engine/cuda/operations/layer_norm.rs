//! Layer norm, or a norm of another kind, over the channels of each position. Kernel: `kernels/layer_norm.cu`.

use super::{Expected, Needs, Operands, Operation};
use crate::engine::cuda::array::{Array, Contents, address};
use crate::engine::cuda::card::Card;
use crate::engine::cuda::driver::error::DriverError;
use crate::engine::cuda::launch::{Launch, Source, arguments, source};
use crate::engine::cuda::number::Type;
use crate::program::NormKind;

static SOURCE: Source = source!("layer_norm");

/// Most channels of a row.
pub(crate) const MOST_CHANNELS: usize = 4096;
/// Threads of a block, at least 64 and with whole rows.
const BLOCK: usize = 64;
/// Channels that a thread keeps in registers.
const CHANNELS_PER_THREAD: usize = 16;

arguments! {
    /// `struct LayerNorm` of the kernel.
    struct LayerNormArguments {
        input: u64,
        output: u64,
        scale: u64,
        shift: u64,
        rows: u32,
        channels: u32,
        eps: f32,
        kind: u32,
    }
}

/// `y = normed(x) · scale + shift` of each row `[channels]`.
pub(crate) struct LayerNorm {
    /// Rows per image.
    pub(crate) rows: usize,
    pub(crate) channels: usize,
    pub(crate) kind: NormKind,
    /// Scale and shift in f32, `[channels]` each.
    pub(crate) affine: Option<[Array; 2]>,
    pub(crate) eps: f32,
    /// Of input and output.
    pub(crate) ty: Type,
}

/// Clocks of a node of a graph and of a wait for memory.
const AROUND: f64 = 3000.0;

impl LayerNorm {
    /// About how many clocks it takes, computed for the choice between ways to do the same: what it reads and writes, from L2 where that holds it.
    pub(crate) fn clocks(&self, card: &Card, images: usize) -> f64 {
        let bytes = 2 * images * self.rows * self.channels * self.ty.bytes();
        let rate = if bytes <= card.l2_bytes() { card.l2_rate() } else { card.memory_rate() };
        AROUND + bytes as f64 / (f64::from(card.multiprocessors) * rate)
    }
}

impl Operation for LayerNorm {
    fn name(&self) -> &'static str {
        "norm"
    }

    fn needs(&self, _card: &Card, images: usize) -> Needs {
        let numbers = images * self.rows * self.channels;
        Needs { input: numbers, output: numbers, ..Needs::default() }
    }

    fn launches(&self, card: &Card, images: usize, at: &Operands) -> Vec<Launch> {
        let rows = images * self.rows;
        let lanes = lanes(self.channels, self.ty);
        let rows_per_block = (BLOCK / lanes).max(1);
        // enough blocks for three an SM; each takes several turns where there are more rows
        let blocks = rows.div_ceil(rows_per_block).min(24 * card.multiprocessors as usize);
        let [scale, shift] = self.affine.map_or([None, None], |arrays| arrays.map(Some)).map(address);
        let arguments = LayerNormArguments {
            input: at.input.address,
            output: at.output.address,
            scale,
            shift,
            rows: rows as u32,
            channels: self.channels as u32,
            eps: self.eps,
            kind: match self.kind {
                NormKind::Layer => 0,
                NormKind::Rms => 1,
                NormKind::Simple => 2,
            },
        };
        let layer = self.kind == NormKind::Layer;
        let kernel = match (self.ty, layer, self.channels.is_multiple_of(2)) {
            (Type::F16, true, true) => "layer_norm_f16",
            (Type::F16, true, false) => "layer_norm_odd_f16",
            (Type::F16, false, true) => "other_norm_f16",
            (Type::F16, false, false) => "other_norm_odd_f16",
            (Type::Bf16, true, true) => "layer_norm_bf16",
            (Type::Bf16, true, false) => "layer_norm_odd_bf16",
            (Type::Bf16, false, true) => "other_norm_bf16",
            (Type::Bf16, false, false) => "other_norm_odd_bf16",
            (Type::F32 | Type::U8, true, true) => "layer_norm_f32",
            (Type::F32 | Type::U8, true, false) => "layer_norm_odd_f32",
            (Type::F32 | Type::U8, false, true) => "other_norm_f32",
            (Type::F32 | Type::U8, false, false) => "other_norm_odd_f32",
        };
        vec![Launch::new(&SOURCE, kernel, [blocks as u32, 1, 1], [lanes as u32, rows_per_block as u32, 1], &arguments)]
    }

    fn expected(
        &self,
        _images: usize,
        at: &Operands,
        memory: &dyn Contents,
        outputs: &[usize],
    ) -> Result<Vec<Expected>, DriverError> {
        let affine = self.affine.map(|arrays| arrays.map(|array| memory.read(array, 0..self.channels)));
        let affine = match affine {
            Some([scale, shift]) => Some((scale?, shift?)),
            None => None,
        };
        outputs
            .iter()
            .map(|index| {
                let (row, channel) = (index / self.channels, index % self.channels);
                let values = memory.read(at.input, row * self.channels..(row + 1) * self.channels)?;
                let (scale, shift) =
                    affine.as_ref().map_or((1.0, 0.0), |(scale, shift)| (scale[channel], shift[channel]));
                let Normed { value: normed, centre } = normed(self.kind, &values, channel, f64::from(self.eps));
                let value = normed * scale + shift;
                // sums in f32 of values as large as the largest, then the rounding of the result; a mean that is put back was rounded twice
                let size = 1.0 + normed.abs() + centre.abs() / 16.0;
                let bound = 2.0 * self.ty.unit() * value.abs() + 4e-6 * size * scale.abs() + self.ty.smallest();
                Ok(Expected { value, bound })
            })
            .collect()
    }
}

/// Threads of a row, as the kernel's head says.
fn lanes(channels: usize, ty: Type) -> usize {
    let in_a_load = 16 / ty.bytes();
    channels.div_ceil(CHANNELS_PER_THREAD).max(channels.div_ceil(in_a_load).min(32)).next_power_of_two()
}

/// A number of a normed row.
struct Normed {
    value: f64,
    /// What of the number the mean is, where it is put back; else 0.
    centre: f64,
}

/// One number of a normed row, in f64.
fn normed(kind: NormKind, row: &[f64], at: usize, eps: f64) -> Normed {
    let count = row.len() as f64;
    let mean = row.iter().sum::<f64>() / count;
    let squares = row.iter().map(|value| (value - mean).powi(2)).sum::<f64>();
    match kind {
        NormKind::Layer => Normed { value: (row[at] - mean) / (squares / count + eps).sqrt(), centre: 0.0 },
        NormKind::Rms => {
            let mean_square = row.iter().map(|value| value.powi(2)).sum::<f64>() / count;
            Normed { value: row[at] / (mean_square + eps).sqrt(), centre: 0.0 }
        }
        NormKind::Simple => {
            let deviation = (squares / (count - 1.0) + eps).sqrt();
            Normed { value: row[at] / deviation, centre: mean / deviation }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_argument_lies_as_the_kernels() {
        let forms = ["layer_norm", "layer_norm_odd", "other_norm", "other_norm_odd"];
        let kernels = forms.iter().flat_map(|form| ["f32", "f16", "bf16"].map(|ty| format!("{form}_{ty}")));
        let kernels: Vec<String> = kernels.collect();
        let kernels: Vec<&str> = kernels.iter().map(String::as_str).collect();
        crate::engine::cuda::launch::assert_fits::<LayerNormArguments>(&SOURCE, &kernels);
    }
}
