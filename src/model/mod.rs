//! Architectures and their sizes: from a specification to a [`Program`].
//!
//! Models emit plain operations, unfused and unfolded; what a checkpoint calls its tensors is `checkpoint`'s business.

mod builder;
pub mod convnext;
pub mod swin;

use crate::program::{InputSpec, Program};

/// An architecture of any family with all that its program depends on.
#[derive(Clone, Debug, PartialEq)]
pub enum Spec {
    /// ConvNeXt, version 1 or 2.
    ConvNext(convnext::Spec),
    /// Swin, version 1.
    Swin(swin::Spec),
}

/// The architecture cannot be built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// No architecture has this name.
    #[error("unknown architecture {name}; known are {}", .known.join(", "))]
    Unknown {
        /// The name asked for.
        name: String,
        /// All names that there are.
        known: Vec<&'static str>,
    },
    /// The numbers do not make a network.
    #[error("{architecture}: {why}")]
    Invalid {
        /// The architecture.
        architecture: String,
        /// What does not fit.
        why: String,
    },
}

impl Spec {
    /// The published specification of a name, as `convnext_tiny`, with ImageNet-1k's thousand classes.
    ///
    /// # Errors
    /// [`SpecError::Unknown`], which lists the names there are.
    pub fn published(name: &str) -> Result<Self, SpecError> {
        let unknown = || SpecError::Unknown { name: name.to_owned(), known: names() };
        let convnext = convnext::Spec::published(name).map(Self::ConvNext);
        convnext.or_else(|| swin::Spec::published(name).map(Self::Swin)).ok_or_else(unknown)
    }

    /// The program for images of `input`.
    ///
    /// # Errors
    /// [`SpecError::Invalid`] when sizes do not fit.
    pub fn program(&self, input: InputSpec) -> Result<Program, SpecError> {
        let program = match self {
            Self::ConvNext(spec) => convnext::program(spec, input)?,
            Self::Swin(spec) => swin::program(spec, input)?,
        };
        let invalid = |why| SpecError::Invalid { architecture: program.architecture.clone(), why };
        program.check().map_err(invalid)?;
        Ok(program)
    }
}

/// All published names.
#[must_use]
pub fn names() -> Vec<&'static str> {
    let convnexts = convnext::PUBLISHED.iter().map(|size| size.name);
    convnexts.chain(swin::PUBLISHED.iter().chain(swin::SEARCHED).map(|size| size.name)).collect()
}

/// The Swin that a ConvNeXt is measured against: the one that its authors chose; for atto, which has none, ours of about its cost.
#[must_use]
pub fn baseline(name: &str) -> Option<&'static str> {
    let size = name.strip_prefix("convnext_")?;
    swin::PUBLISHED.iter().map(|swin| swin.name).find(|swin| swin.strip_prefix("swin_") == Some(size))
}

/// Whether an architecture is the baseline of another, under any of its names: `swin_tiny_patch4_window7_224` is `convnext_tiny`'s.
#[must_use]
pub fn is_baseline(name: &str, of: &str) -> bool {
    let short = name.split_once("_patch").map_or(name, |(short, _)| short);
    baseline(of) == Some(short)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_convnext_of_the_paper_and_the_demo_knows_its_swin() {
        for size in ["atto", "tiny", "small", "base", "large"] {
            assert_eq!(baseline(&format!("convnext_{size}")), Some(&*format!("swin_{size}")));
        }
        assert_eq!([baseline("convnext_pico"), baseline("convnextv2_tiny"), baseline("swin_tiny")], [None; 3]);
        assert!(is_baseline("swin_base_patch4_window12_384", "convnext_base"));
        assert!(!is_baseline("swin_base", "convnext_tiny"));
    }
}
