//! `--engine`: whether models are computed at all. Not here: where (`--device`).

/// What answers for the models.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChosenEngine {
    /// The engine of the device.
    #[default]
    Auto,
    /// Nothing: the server without a network, to measure what it costs by itself.
    Null,
}
