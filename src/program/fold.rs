//! Folding: a norm's scale and shift move into the linear operation that alone follows it.
//!
//! Exact in real numbers: `W·(s∘x̂ + t) + b = (W·diag(s))·x̂ + (b + W·t)`. An unpadded patch embedding is linear too. Not folded: a norm
//! whose output anything else reads (the stem's, which the residual needs), and anything through zero padding, where the
//! padding would have to become `−t/s`.

use super::{Op, Program, Recipe, TensorId, WeightDecl, WeightId};

/// The program with every norm folded that can be. Weights that nothing reads any more are gone.
#[must_use]
pub fn fold(program: &Program) -> Program {
    let mut folded = program.clone();
    let readers = program.readers();
    let sole_reader = |tensor: TensorId| match readers[tensor.0].as_slice() {
        [reader] if tensor != program.output => Some(*reader),
        _ => None,
    };
    for index in 0..folded.ops.len() {
        let Op::Norm(norm) = &folded.ops[index].1 else { continue };
        let (Some(affine), Some(reader)) = (norm.affine, sole_reader(norm.output)) else { continue };
        let (weight, bias) = match &folded.ops[reader].1 {
            Op::Linear(op) if op.residual != Some(norm.output) => (op.weight, op.bias),
            Op::Patchify(op) => (op.weight, op.bias),
            _ => continue,
        };
        let recipe = |id: WeightId| Box::new(program.weight(id).recipe.clone());
        let original = recipe(weight);
        folded.weights[bias.0].recipe =
            Recipe::AddProduct { bias: recipe(bias), weight: original.clone(), shift: recipe(affine.shift) };
        folded.weights[weight.0].recipe = Recipe::ScaleColumns { weight: original, scale: recipe(affine.scale) };
        if let Op::Norm(norm) = &mut folded.ops[index].1 {
            norm.affine = None;
        }
    }
    without_unread_weights(folded)
}

/// Drops the declarations that no operation reads, and renumbers the others.
fn without_unread_weights(mut program: Program) -> Program {
    let mut kept: Vec<WeightDecl> = Vec::with_capacity(program.weights.len());
    let weights = std::mem::take(&mut program.weights);
    let mut moved = vec![None; weights.len()];
    for (_, op) in &mut program.ops {
        for id in op.weights_mut() {
            let new = *moved[id.0].get_or_insert_with(|| {
                kept.push(weights[id.0].clone());
                WeightId(kept.len() - 1)
            });
            *id = new;
        }
    }
    program.weights = kept;
    program
}

impl Op {
    fn weights_mut(&mut self) -> Vec<&mut WeightId> {
        match self {
            Self::Patchify(op) => vec![&mut op.weight, &mut op.bias],
            Self::Depthwise(op) => vec![&mut op.weight, &mut op.bias],
            Self::Norm(op) => op.affine.iter_mut().flat_map(|a| [&mut a.scale, &mut a.shift]).collect(),
            Self::Linear(op) => [&mut op.weight, &mut op.bias].into_iter().chain(op.scale.as_mut()).collect(),
            Self::Grn(op) => vec![&mut op.scale, &mut op.shift],
            Self::Pool(_) => vec![],
        }
    }
}
