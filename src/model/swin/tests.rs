//! The published sizes have the published costs, and windows are what each library makes of them.

use super::*;
use crate::model;
use crate::program::Op;

fn published(name: &str, side: usize) -> Program {
    model::Spec::published(name).unwrap().program(InputSpec::imagenet(side)).unwrap()
}

#[test]
fn parameters_are_those_of_the_paper_and_of_timm() {
    for (name, expected) in
        [("swin_tiny", "28.29"), ("swin_small", "49.61"), ("swin_base", "87.77"), ("swin_large", "196.53")]
    {
        assert_eq!(format!("{:.2}", published(name, 224).parameters() as f64 / 1e6), expected, "{name}");
    }
}

#[test]
fn multiply_adds_are_those_of_the_paper() {
    // the paper's 4.5, 8.7, 15.4 and 34.5 G; its code counts 4.49, 8.74, 15.43 and 34.51, among them an operation for each element of a norm
    for (name, expected) in
        [("swin_tiny", "4.49"), ("swin_small", "8.74"), ("swin_base", "15.43"), ("swin_large", "34.51")]
    {
        let program = published(name, 224);
        let norms = program.ops.iter().filter(|(_, op)| matches!(op, Op::Norm(_)));
        let norms: u64 = norms.map(|(_, op)| program.shape(op.output()).len() as u64).sum();
        assert_eq!(format!("{:.2}", (program.cost().macs + norms) as f64 / 1e9), expected, "{name}");
    }
}
