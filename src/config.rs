//! Configuration: flags, environment and file, one meaning.
