//! Kernels against plain arithmetic (`engine/cuda/proof`), a test for each kernel and card.

use convnext_server::engine::cuda::proof;

use crate::emulated;

/// Proves a kernel on an emulated card, with all the emulator's checks.
fn proves(test: &str, kernel: &str, capability: u32) {
    emulated::on_card(test, capability, &[], || {
        let outcomes = proof::prove(kernel, 0).expect("a card");
        assert!(!outcomes.is_empty(), "no case of {kernel}");
        // shown with --nocapture
        outcomes.iter().for_each(|outcome| eprintln!("{:5.2} {}", outcome.worst, outcome.case));
        let faults: Vec<_> = outcomes.iter().filter(|outcome| outcome.fault.is_some()).collect();
        assert!(faults.is_empty(), "{faults:#?}");
    });
}

/// A test for each kernel and card, by the kernel's name.
macro_rules! kernels {
    ($($kernel:ident on $($card:ident = $capability:literal),+;)*) => {
        $(mod $kernel {
            $(#[test]
            fn $card() {
                let test = concat!("kernels::", stringify!($kernel), "::", stringify!($card));
                super::proves(test, stringify!($kernel), $capability);
            })+
        })*

        #[test]
        fn every_kernel_has_tests() {
            let tested = [$(stringify!($kernel)),*];
            for kernel in proof::kernels() {
                assert!(tested.contains(&kernel), "{kernel} has no test");
            }
        }
    };
}

kernels! {
    attention on turing = 75, ampere = 80, hopper = 90;
    depthwise on turing = 75, ampere = 80, hopper = 90;
    layer_norm on turing = 75, ampere = 80;
    grn on turing = 75, ampere = 80;
    patch_embedding on turing = 75, ampere = 80;
    plain_linear on turing = 75, ampere = 80;
    pointwise on turing = 75, ampere = 80;
    pool on turing = 75, ampere = 80;
    tensor_linear on turing = 75, ampere = 80, ada = 89, hopper = 90;
    unfold on turing = 75, ampere = 80;
}
