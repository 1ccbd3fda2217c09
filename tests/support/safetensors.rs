//! Reads a small safetensors file of f32 tensors whole: for expectations, which need no limits.

use std::collections::HashMap;
use std::path::Path;

/// Values by name.
pub(crate) fn read(path: &Path) -> HashMap<String, Vec<f32>> {
    let file = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let (length, rest) = file.split_first_chunk::<8>().expect("a length");
    let (header, data) = rest.split_at(usize::try_from(u64::from_le_bytes(*length)).expect("a length in memory"));
    let header: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(header).expect("a JSON header");
    let tensors = header.iter().filter(|(name, _)| *name != "__metadata__");
    let values = |tensor: &serde_json::Value| {
        assert_eq!(tensor["dtype"], "F32");
        let offset =
            |i: usize| usize::try_from(tensor["data_offsets"][i].as_u64().expect("an offset")).expect("an offset");
        data[offset(0)..offset(1)].as_chunks().0.iter().map(|&value| f32::from_le_bytes(value)).collect()
    };
    tensors.map(|(name, tensor)| (name.clone(), values(tensor))).collect()
}
