//! What is said of a model to operators.

/// What is known of a version of a model. Of one that never was loaded most of it is empty.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelStatus {
    /// The name under which it is served.
    pub name: String,
    /// Its version; None where no version is known.
    pub version: Option<String>,
    /// The version's labels, as `stable`.
    pub labels: Vec<String>,
    /// Whether it serves.
    pub state: ModelState,
    /// Why the last load failed, of this version or of one that was to replace it.
    pub error: Option<String>,
    /// Its architecture, as `convnext_tiny`.
    pub architecture: String,
    /// Its program's family.
    pub family: String,
    /// The devices that run it.
    pub devices: Vec<String>,
    /// In what it is computed.
    pub precision: &'static str,
    /// Where it came from.
    pub origin: String,
    /// The served model that it is measured against, if there is one.
    pub baseline: Option<String>,
    /// Whether requests without a model get this one.
    pub default: bool,
    /// Whether the server is ready only when it is.
    pub required: bool,
    /// Rows and columns of its input.
    pub input: (usize, usize),
    /// Number of classes.
    pub classes: usize,
    /// Stored parameters.
    pub parameters: u64,
    /// Multiply-accumulates of one image.
    pub macs: u64,
    /// The largest batch that is allowed.
    pub max_batch: usize,
    /// Bytes of memory that it takes on all of its devices.
    pub memory: u64,
    /// The devices that run it, each with the bytes of its memory that it takes there.
    pub memory_on: Vec<(String, u64)>,
}

/// What a version does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModelState {
    /// It is on its way.
    Loading,
    /// It serves.
    Ready,
    /// It could not be loaded, or all of its devices have failed.
    Failed,
    /// It was unloaded by a command.
    Unloaded,
}

impl ModelState {
    /// Its name in answers.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Loading => "loading",
            Self::Ready => "ready",
            Self::Failed => "failed",
            Self::Unloaded => "unloaded",
        }
    }
}
