//! What `ARCHITECTURE.md` promises and sources can show: which module imports which, who knows no runtime, where `unsafe` stands.
//! Not here: how the sources are read (`sources`, `mentions`).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod mentions;
mod planted;
mod sources;

use mentions::{Mention, What};
use sources::Source;

/// Each module with all that it may import of ours; `cli` may import everything.
const IMPORTS: &[(&str, &[&str])] = &[
    ("panics", &[]),
    ("program", &[]),
    ("model", &["program"]),
    ("checkpoint", &["model", "program", "pixels"]),
    ("pixels", &[]),
    ("engine", &["program", "panics"]),
    ("golden", &["checkpoint", "engine"]),
    ("hub", &[]),
    ("reload", &[]),
    ("auth", &["service", "metrics"]), // of service the trait by which it holds a key to its rate
    ("telemetry", &["panics"]),
    ("metrics", &["telemetry"]), // lines of the log that were dropped
    ("service", &["program", "model", "checkpoint", "pixels", "engine", "metrics", "panics"]),
    ("net", &["metrics"]),
    ("oip", &["service", "metrics"]),
    ("http", &["service", "oip", "auth", "metrics", "pixels", "panics", "net"]), // of pixels the errors, to which statuses belong; of net a request's id and its client's certificate
    ("grpc", &["service", "oip", "auth", "metrics", "net", "panics", "pixels"]), // of pixels the errors, for a test of the codes
    ("admin", &["service", "http", "auth", "telemetry"]),
    ("config", &["service", "http", "net", "telemetry"]),
];
/// The module to which nothing is forbidden, and which nothing else may import.
const OUTERMOST: &str = "cli";

/// Modules that know no runtime and no protocol.
const PURE: &[&str] = &["program", "model", "engine", "pixels"];
/// The crates of runtimes and protocols.
const RUNTIMES: &[&str] =
    &["tokio", "axum", "hyper", "hyper_util", "http_body_util", "tower", "tonic", "prost", "prometheus", "ureq"];

/// The only files with `unsafe`, from `src`: cutting an output for several threads, a prefetch, instructions of bf16, and the CUDA driver.
const UNSAFE: &[&str] = &[
    "engine/cpu/parallel/tile.rs",
    "engine/cpu/simd/amx.rs",
    "engine/cpu/simd/bf16.rs",
    "engine/cpu/simd/int8.rs",
    "engine/cpu/simd/int8/arm.rs",
    "engine/cpu/simd/vector.rs",
    "engine/cuda/driver/gpu.rs",
    "engine/cuda/driver/launch.rs",
    "engine/cuda/driver/library.rs",
    "engine/cuda/driver/memory.rs",
    "engine/cuda/driver/modules.rs",
    "engine/cuda/driver/pinned.rs",
    "engine/cuda/driver/stream.rs",
];

/// Everything in which these sources break the promises, one line for each.
fn faults(sources: &[Source]) -> Vec<String> {
    let mut faults: Vec<String> =
        sources.iter().flat_map(|source| source.mentions.iter().filter_map(|mention| fault(source, mention))).collect();
    faults.dedup();
    faults
}

fn fault(source: &Source, Mention { line, what }: &Mention) -> Option<String> {
    let module = source.module.first()?.as_str();
    let why = match what {
        What::Module(other) if module == OUTERMOST || module == other => return None,
        What::Module(other) => match IMPORTS.iter().find(|(name, _)| *name == module) {
            None => format!("module {module} is not in the table of imports"),
            Some((_, allowed)) if allowed.contains(&other.as_str()) => return None,
            Some(_) => format!("{module} may not import {other}"),
        },
        What::Crate(name) if PURE.contains(&module) && RUNTIMES.contains(&name.as_str()) => {
            format!("{module} may not know {name}")
        }
        What::Crate(_) => return None,
        What::Unsafe { .. } if !UNSAFE.contains(&source.path.as_str()) => "unsafe may not stand here".to_owned(),
        What::Unsafe { explained: false } => "unsafe needs a line `// SAFETY:` above it".to_owned(),
        What::Unsafe { explained: true } => return None,
    };
    Some(format!("{}:{line}: {why}", source.path))
}

#[test]
fn the_sources_keep_what_the_architecture_promises() {
    let sources = sources::ours();
    let faults = faults(&sources);
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
    // that nothing was found must not mean that nothing was read
    for (module, _) in IMPORTS {
        assert!(sources.iter().any(|source| source.module[..] == [*module]), "{module} was not read");
    }
    for path in UNSAFE {
        let file = sources.iter().find(|source| source.path == *path).expect(path);
        assert!(file.mentions.iter().any(|mention| matches!(mention.what, What::Unsafe { .. })), "{path}");
    }
}
