//! An operation's weights, made as its recipe says and packed as its kernel reads them. Not here: which kernel (`fuse`).

use std::cell::RefCell;
use std::sync::Arc;

use crate::engine::cpu::error::NoMemory;
use crate::engine::cpu::operations::attention::{Attention, Geometry};
use crate::engine::cpu::operations::depthwise::Depthwise;
use crate::engine::cpu::operations::grn::Grn;
use crate::engine::cpu::operations::linear::Linear;
use crate::engine::cpu::operations::norm::Norm;
use crate::engine::cpu::product::epilogue::Epilogue;
use crate::engine::cpu::product::numbers::Numbers;
use crate::engine::cpu::product::packed::PackedWeight;
use crate::engine::cpu::simd::instructions::Instructions;
use crate::program::{self, Program, WeightError, WeightId, WeightSource};

/// The weights of a program cannot be packed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PackError {
    #[error(transparent)]
    Weights(#[from] WeightError),
    #[error("{0} for a packed weight")]
    Memory(#[from] NoMemory),
}

/// Reads weights and packs them for an instruction set, those of products in the numbers that are multiplied.
pub(crate) struct Packer<'a> {
    instructions: Instructions,
    numbers: Numbers,
    program: &'a Program,
    weights: &'a dyn WeightSource,
    /// Window geometries so far. Blocks with the same windows share one.
    geometries: RefCell<Vec<Arc<Geometry>>>,
}

impl<'a> Packer<'a> {
    pub(crate) fn new(
        (instructions, numbers): (Instructions, Numbers),
        program: &'a Program,
        weights: &'a dyn WeightSource,
    ) -> Self {
        Self { instructions, numbers, program, weights, geometries: RefCell::default() }
    }

    /// A depthwise convolution with the norm that may follow it.
    pub(crate) fn depthwise(
        &self,
        op: &program::Depthwise,
        norm: Option<&program::Norm>,
    ) -> Result<Depthwise, PackError> {
        let (weight, bias) = (self.weight(op.weight)?, self.weight(op.bias)?);
        let norm = norm.map(|norm| self.norm(norm)).transpose()?;
        let map = (self.program.shape(op.input), op.kernel);
        Ok(Depthwise::new(self.instructions, map, &weight, &bias, norm)?)
    }

    /// The linear layer of patches.
    pub(crate) fn patchify(&self, op: &program::Patchify) -> Result<Linear, PackError> {
        let depth = op.size * op.size * self.program.shape(op.input).channels;
        let weight = PackedWeight::pack(self.instructions, self.numbers, &self.weight(op.weight)?, depth)?;
        Ok(Linear { weight, epilogue: Epilogue { bias: self.weight(op.bias)?, activation: None, scale: None } })
    }

    pub(crate) fn linear(&self, op: &program::Linear) -> Result<Linear, PackError> {
        let depth = self.program.shape(op.input).channels;
        let weight = PackedWeight::pack(self.instructions, self.numbers, &self.weight(op.weight)?, depth)?;
        let scale = op.scale.map(|scale| self.weight(scale)).transpose()?;
        Ok(Linear { weight, epilogue: Epilogue { bias: self.weight(op.bias)?, activation: op.activation, scale } })
    }

    pub(crate) fn norm(&self, op: &program::Norm) -> Result<Norm, PackError> {
        let affine = op.affine.map(|affine| Ok((self.weight(affine.scale)?, self.weight(affine.shift)?)));
        Ok(Norm::new(op.kind, op.eps, affine.transpose().map_err(|error: WeightError| error)?))
    }

    pub(crate) fn grn(&self, op: &program::Grn) -> Result<Grn, PackError> {
        Ok(Grn::new(op.eps, self.weight(op.scale)?, self.weight(op.shift)?))
    }

    pub(crate) fn attention(&self, op: &program::Attention) -> Result<Attention, PackError> {
        let map = self.program.shape(op.output);
        let mut geometries = self.geometries.borrow_mut();
        let known = geometries.iter().find(|geometry| geometry.fits(map, &op.windows)).cloned();
        let geometry = match known {
            Some(geometry) => geometry,
            None => {
                let geometry = Arc::new(Geometry::new(self.instructions, map, &op.windows)?);
                geometries.push(Arc::clone(&geometry));
                geometry
            }
        };
        let padding = op.padding.map(|padding| self.weight(padding)).transpose()?.unwrap_or_default();
        let table = self.weight(op.bias)?;
        let compiled = (self.instructions, self.numbers.of_attention(self.instructions));
        Ok(Attention::new(compiled, geometry, (map.channels, op.heads), &table, padding)?)
    }

    pub(crate) fn offset(&self, op: &program::Offset) -> Result<Vec<f32>, PackError> {
        Ok(self.weight(op.weight)?)
    }

    fn weight(&self, id: WeightId) -> Result<Vec<f32>, WeightError> {
        self.program.weight(id).materialise(self.weights)
    }
}
