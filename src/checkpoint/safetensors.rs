//! The head of a safetensors file, distrusted: which tensors there are and where they lie. Not here: reading them.
//!
//! A file is a length (u64, little-endian), a JSON header of that length, and the data that the header's offsets divide
//! without holes or overlaps. What a header may say is judged by the format's own crate. Ours is what that crate leaves to the
//! memory that holds a whole file: nothing is allocated on a file's word beyond the header, and that only once the file is
//! known to be as long.

use std::collections::HashSet;
use std::fmt;

use ::safetensors::Dtype;
use ::safetensors::tensor::{Metadata, TensorInfo};
use serde::Deserialize;
use serde::de::{self, IgnoredAny, MapAccess, Visitor};

use super::files::File;
use super::{CheckpointError, misplaced};

/// Longest header, in bytes; the limit of the format's own crate.
const HEADER_LIMIT: u64 = 100_000_000;
/// Most tensors of a file: ten times those of the deepest network that can be built.
const TENSOR_LIMIT: usize = 1 << 16;
/// Most dimensions of a tensor.
const RANK_LIMIT: usize = 8;

/// Bytes that show what a file is which is no safetensors.
const START: u64 = 64;

/// A tensor of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tensor {
    /// As the file names it.
    pub(super) name: String,
    /// Type of its elements.
    pub(super) dtype: Dtype,
    /// Its dimensions.
    pub(super) shape: Vec<usize>,
    /// Position of its first byte in the file.
    pub(super) offset: u64,
}

/// The tensors of a file, by name.
///
/// # Errors
/// [`CheckpointError::Io`], or [`CheckpointError::Safetensors`] for whatever the format forbids.
pub(super) fn tensors(file: &File) -> Result<Vec<Tensor>, CheckpointError> {
    let start = file.bytes(0, file.len.min(START) as usize)?;
    let invalid = |why: String| {
        let why = misplaced::what(&start).map_or(why, str::to_owned);
        CheckpointError::Safetensors { path: file.path.clone(), why }
    };
    if file.len < 8 {
        return Err(invalid(format!("it has {} bytes, too few for the length of a header", file.len)));
    }
    let mut length = [0; 8];
    length.copy_from_slice(&file.bytes(0, 8)?);
    let header_len = u64::from_le_bytes(length);
    if header_len > HEADER_LIMIT {
        return Err(invalid(format!("it claims a header of {header_len} bytes; {HEADER_LIMIT} are allowed")));
    }
    if header_len > file.len - 8 {
        return Err(invalid(format!("it ends within its header of {header_len} bytes: it is truncated")));
    }
    let header = file.bytes(8, header_len as usize)?;
    let Header(mut entries) =
        serde_json::from_slice(&header).map_err(|cause| invalid(format!("its header: {cause}")))?;
    drop(header);

    // the order that the crate asks for
    entries.sort_by_key(|(_, info)| info.data_offsets);
    check_layout(&entries, file.len - 8 - header_len).map_err(invalid)?;
    entries.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    let tensor = |(name, TensorInfo { dtype, shape, data_offsets }): Entry| {
        let offset = 8 + header_len + data_offsets.0 as u64;
        Tensor { name, dtype, shape, offset }
    };
    Ok(entries.into_iter().map(tensor).collect())
}

/// Holds the entries, in the order of their offsets, against a data section of `data` bytes, which they must fill exactly.
fn check_layout(entries: &[Entry], data: u64) -> Result<(), String> {
    if let Err(cause) = Metadata::new(None, entries.to_vec()) {
        return Err(first_fault(entries).unwrap_or_else(|| cause.to_string()));
    }
    if let Some((name, info)) = entries.iter().find(|(_, info)| info.data_offsets.1 as u64 > data) {
        let (start, end) = info.data_offsets;
        return Err(format!(
            "tensor {name} lies at bytes {start} to {end} of {data}: the file is truncated or its offsets are wrong"
        ));
    }
    let filled = entries.last().map_or(0, |(_, info)| info.data_offsets.1 as u64);
    if filled < data {
        return Err(format!("the last {} of its {data} bytes belong to no tensor", data - filled));
    }
    Ok(())
}

/// What the crate says of the first tensor that is wrong, with the name and the numbers that it does not tell: each tensor is
/// asked about alone, as if the data began where the tensor before it ends.
fn first_fault(entries: &[Entry]) -> Option<String> {
    let mut before = 0;
    entries.iter().find_map(|(name, info)| {
        let TensorInfo { dtype, shape, data_offsets: (start, end) } = info;
        let data_offsets = (start.wrapping_sub(before), end.wrapping_sub(before));
        let alone = TensorInfo { data_offsets, ..info.clone() };
        let cause = Metadata::new(None, vec![(name.clone(), alone)]).err();
        let fault = cause.map(|cause| {
            format!(
                "tensor {name}, {dtype} of shape {shape:?} at bytes {start} to {end}, where the tensor before it ends at \
                 {before}: {cause}"
            )
        });
        before = *end;
        fault
    })
}

/// A tensor's name and what is said of it.
type Entry = (String, TensorInfo);

/// The entries of a header, in the file's order. The crate's own reader keeps the last of two tensors of one name and any number
/// of tensors; here both are errors, and every error within an entry names its tensor.
struct Header(Vec<Entry>);

/// The crate's fields and no others: a field that is not known would be ignored, and might change what the bytes mean.
#[derive(Deserialize)]
#[serde(remote = "TensorInfo", deny_unknown_fields)]
struct Fields {
    dtype: Dtype,
    shape: Vec<usize>,
    data_offsets: (usize, usize),
}

#[derive(Deserialize)]
struct Body(#[serde(with = "Fields")] TensorInfo);

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Header;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of tensors")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Header, A::Error> {
                let (mut entries, mut names) = (Vec::new(), HashSet::new());
                while let Some(name) = map.next_key::<String>()? {
                    if name == "__metadata__" {
                        map.next_value::<IgnoredAny>()?;
                        continue;
                    }
                    if entries.len() == TENSOR_LIMIT {
                        return Err(de::Error::custom(format!("it has more than {TENSOR_LIMIT} tensors")));
                    }
                    let fault = |why: String| de::Error::custom(format!("tensor {name}{why}"));
                    let Body(info) = map.next_value().map_err(|cause: A::Error| fault(format!(": {cause}")))?;
                    if info.shape.len() > RANK_LIMIT {
                        return Err(fault(format!(": more than {RANK_LIMIT} dimensions")));
                    }
                    if !names.insert(name.clone()) {
                        return Err(fault(" is there twice".to_owned()));
                    }
                    entries.push((name, info));
                }
                Ok(Header(entries))
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::io;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use proptest::prelude::*;

    use super::super::files::ReadAt;
    use super::*;

    /// Bytes that remember the largest read: a buffer is allocated for each.
    struct Watched {
        bytes: Vec<u8>,
        largest: Arc<AtomicUsize>,
    }

    impl ReadAt for Watched {
        fn read_exact_at(&self, into: &mut [u8], offset: u64) -> io::Result<()> {
            self.largest.fetch_max(into.len(), Ordering::Relaxed);
            into.copy_from_slice(&self.bytes[offset as usize..][..into.len()]);
            Ok(())
        }
    }

    /// What is said of the bytes, and the largest buffer that it took.
    fn read(bytes: Vec<u8>) -> (Result<Vec<Tensor>, CheckpointError>, usize) {
        let (largest, len) = (Arc::new(AtomicUsize::new(0)), bytes.len() as u64);
        let found = tensors(&File::of(Watched { bytes, largest: largest.clone() }, len));
        (found, largest.load(Ordering::Relaxed))
    }

    fn small() -> Vec<u8> {
        let header = br#"{"__metadata__":{"format":"pt"},"b":{"dtype":"F16","shape":[2,3],"data_offsets":[4,16]},"a":{"dtype":"F32","shape":[],"data_offsets":[0,4]}}  "#;
        [&(header.len() as u64).to_le_bytes()[..], header, &[0; 16]].concat()
    }

    #[test]
    fn tensors_are_found_where_their_header_says() {
        let bytes = small();
        let data = bytes.len() as u64 - 16;
        let found = read(bytes).0.unwrap();
        let brief: Vec<_> =
            found.iter().map(|tensor| (tensor.name.as_str(), tensor.dtype, &tensor.shape[..], tensor.offset)).collect();
        assert_eq!(brief, [("a", Dtype::F32, &[][..], data), ("b", Dtype::F16, &[2, 3], data + 4)]);
    }

    #[test]
    fn a_file_of_too_many_tensors_is_refused() {
        let entries: Vec<String> =
            (0..=TENSOR_LIMIT).map(|i| format!(r#""{i}":{{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}"#)).collect();
        let header = format!("{{{}}}", entries.join(","));
        let error = read([&(header.len() as u64).to_le_bytes()[..], header.as_bytes()].concat()).0.unwrap_err();
        assert!(error.to_string().contains("more than 65536 tensors"), "{error}");
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn no_header_makes_it_read_or_allocate_more_than_the_file_has(
            changes in proptest::collection::vec((0..small().len(), any::<u8>()), 1..8),
            length in proptest::option::of(any::<u64>()),
            cut in 0..16usize,
        ) {
            let mut bytes = small();
            for (position, byte) in changes {
                bytes[position] = byte;
            }
            if let Some(length) = length {
                bytes[..8].copy_from_slice(&(length >> (length % 64)).to_le_bytes());
            }
            bytes.truncate(small().len() - cut);
            let len = bytes.len();
            let (found, largest) = read(bytes);
            prop_assert!(largest <= len);
            for tensor in found.unwrap_or_default() {
                let elements = tensor.shape.iter().try_fold(1u64, |product, dim| product.checked_mul(*dim as u64));
                let bits = elements.and_then(|elements| elements.checked_mul(tensor.dtype.bitsize() as u64));
                let end = bits.and_then(|bits| (bits / 8).checked_add(tensor.offset));
                prop_assert!(end.is_some_and(|end| end <= len as u64), "{tensor:?} of {len}");
            }
        }
    }
}
