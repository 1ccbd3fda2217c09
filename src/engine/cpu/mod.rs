//! The cpu engine.
