//! Folding: a norm's scale and shift move into the linear operation that alone follows it.
//!
//! Exact in real numbers: `W·(s∘x̂ + t) + b = (W·diag(s))·x̂ + (b + W·t)`. An unpadded patch embedding is linear too. Not folded:
//! a norm whose output anything else reads (the stem's, which the residual needs), or whose reader shares its weight (a bias that
//! attention gives its padding, which comes after the norm); and anything through zero padding, which would have to become `−t/s`.

use super::{Op, Program, Recipe, TensorId, WeightDecl, WeightId};

/// The program with every norm folded that can be. Weights that nothing reads any more are gone.
#[must_use]
pub fn fold(program: &Program) -> Program {
    let mut folded = program.clone();
    let readers = program.readers();
    let mut uses = vec![0; program.weights.len()];
    program.ops.iter().flat_map(|(_, op)| op.weights()).for_each(|weight| uses[weight.0] += 1);
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
        if uses[weight.0] > 1 || uses[bias.0] > 1 {
            continue; // another operation needs them as they are
        }
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
            Self::Attention(op) => std::iter::once(&mut op.bias).chain(op.padding.as_mut()).collect(),
            Self::Offset(op) => vec![&mut op.weight],
            Self::Merge(_) | Self::Unfold(_) | Self::Activate(_) | Self::Pool(_) => vec![],
        }
    }
}

#[cfg(test)]
#[allow(clippy::panic, reason = "tests")]
mod tests {
    use super::super::{Affine, Depthwise, InputSpec, Linear, Norm, NormKind, Order, Shape};
    use super::*;

    const MAP: Shape = Shape::map(4, 4, 3);

    fn stored(program: &mut Program, name: &str, shape: Vec<usize>) -> WeightId {
        let recipe = Recipe::Stored { name: name.to_owned(), shape: shape.clone(), order: Order::Same };
        program.declare(WeightDecl { name: name.to_owned(), shape, recipe })
    }

    /// A norm of the input.
    fn norm(program: &mut Program) -> TensorId {
        let output = program.tensor(MAP);
        let [scale, shift] = ["scale", "shift"].map(|name| stored(program, name, vec![3]));
        let affine = Some(Affine { scale, shift });
        program.push("norm", Op::Norm(Norm { input: Program::INPUT, output, kind: NormKind::Layer, affine, eps: 1e-6 }))
    }

    fn linear(program: &mut Program, name: &str, input: TensorId, residual: Option<TensorId>) -> TensorId {
        let output = program.tensor(MAP);
        let weight = stored(program, &format!("{name}.weight"), vec![3, 3]);
        let bias = stored(program, &format!("{name}.bias"), vec![3]);
        let plain = Linear { input, output, weight, bias, activation: None, scale: None, residual };
        program.push(name, Op::Linear(plain))
    }

    /// Builds a program after a norm and folds it; whether the norm has lost its affine part.
    fn folds(build: impl FnOnce(&mut Program, TensorId)) -> bool {
        let mut program = Program::new("a", "a", InputSpec::imagenet(4));
        let normed = norm(&mut program);
        build(&mut program, normed);
        assert_eq!(program.check(), Ok(()));
        let folded = fold(&program);
        assert_eq!(folded.check(), Ok(()));
        let Op::Norm(op) = &folded.ops[0].1 else { panic!("the norm has gone") };
        assert_eq!(op.affine.is_none(), folded != program, "something folds only with the norm");
        op.affine.is_none()
    }

    #[test]
    fn into_the_linear_that_alone_reads_it() {
        assert!(folds(|program, normed| {
            linear(program, "fc", normed, Some(Program::INPUT));
        }));
    }

    #[test]
    fn not_where_a_second_operation_reads_it() {
        assert!(!folds(|program, normed| {
            linear(program, "a", normed, None);
            linear(program, "b", normed, None);
        }));
    }

    #[test]
    fn not_where_a_residual_reads_it() {
        assert!(!folds(|program, normed| {
            linear(program, "same", normed, Some(normed));
        }));
        assert!(!folds(|program, normed| {
            let x = linear(program, "a", normed, None);
            linear(program, "b", x, Some(normed));
        }));
        assert!(!folds(|program, normed| {
            linear(program, "only", Program::INPUT, Some(normed));
        }));
    }

    #[test]
    fn not_where_it_is_the_output() {
        assert!(!folds(|program, normed| {
            linear(program, "fc", normed, None);
            program.output = normed;
        }));
    }

    #[test]
    fn not_into_a_weight_that_another_operation_shares() {
        assert!(!folds(|program, normed| {
            let x = linear(program, "a", normed, None);
            let Op::Linear(first) = program.ops[1].1.clone() else { panic!("it is a linear") };
            let output = program.tensor(MAP);
            program.push("b", Op::Linear(Linear { input: x, output, ..first }));
        }));
    }

    #[test]
    fn not_through_zero_padding() {
        assert!(!folds(|program, normed| {
            let output = program.tensor(MAP);
            let weight = stored(program, "weight", vec![3, 3, 3]);
            let bias = stored(program, "bias", vec![3]);
            program.push("dw", Op::Depthwise(Depthwise { input: normed, output, kernel: 3, weight, bias }));
        }));
    }

    #[test]
    fn the_weights_that_a_folded_norm_read_are_read_by_the_recipes_instead() {
        let mut program = Program::new("a", "a", InputSpec::imagenet(4));
        let normed = norm(&mut program);
        linear(&mut program, "fc", normed, None);
        let folded = fold(&program);
        let names: Vec<&str> = folded.weights.iter().map(|weight| weight.name.as_str()).collect();
        assert_eq!(names, ["fc.weight", "fc.bias"]);
        let reads =
            |index: usize| folded.weights[index].recipe.stored().iter().map(|(name, _)| *name).collect::<Vec<_>>();
        assert_eq!(reads(0), ["fc.weight", "scale"]);
        assert_eq!(reads(1), ["fc.bias", "fc.weight", "shift"]);
    }
}
