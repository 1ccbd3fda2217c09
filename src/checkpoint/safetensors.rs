//! The head of a safetensors file, distrusted: which tensors there are and where they lie. Not here: reading them.
//!
//! A file is a length (u64, little-endian), a JSON header of that length, and the data that the header's offsets divide
//! without holes or overlaps. Nothing is allocated on a file's word beyond the header, and that only once the file is
//! known to be as long.

use std::fmt;

use serde::Deserialize;
use serde::de::{self, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::CheckpointError;
use super::dtype::Dtype;
use super::files::File;

/// Longest header, in bytes; the limit of the format's own implementation.
const HEADER_LIMIT: u64 = 100_000_000;
/// Most tensors of a file: ten times those of the deepest network that can be built.
const TENSOR_LIMIT: usize = 1 << 16;
/// Most dimensions of a tensor.
const RANK_LIMIT: usize = 8;

/// A tensor of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tensor {
    /// As the file names it.
    pub(super) name: String,
    /// Type of its elements.
    pub(super) dtype: Dtype,
    /// Its dimensions.
    pub(super) shape: Vec<u64>,
    /// Position of its first byte in the file.
    pub(super) offset: u64,
}

/// The tensors of a file, by name.
///
/// # Errors
/// [`CheckpointError::Io`], or [`CheckpointError::Safetensors`] for whatever the format forbids.
pub(super) fn tensors(file: &File) -> Result<Vec<Tensor>, CheckpointError> {
    let invalid = |why: String| CheckpointError::Safetensors { path: file.path.clone(), why };
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

    check_layout(&mut entries, file.len - 8 - header_len).map_err(invalid)?;
    entries.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    if let Some(pair) = entries.windows(2).find(|pair| pair[0].name == pair[1].name) {
        return Err(invalid(format!("tensor {} is there twice", pair[0].name)));
    }
    let tensor = |entry: Entry| {
        let Entry { name, body: Body { dtype: Known(dtype), shape: Dims(shape), data_offsets } } = entry;
        Tensor { name, dtype, shape, offset: 8 + header_len + data_offsets[0] }
    };
    Ok(entries.into_iter().map(tensor).collect())
}

/// Holds the entries against a data section of `data` bytes: sorted by position they must fill it exactly.
fn check_layout(entries: &mut [Entry], data: u64) -> Result<(), String> {
    entries.sort_unstable_by_key(|entry| entry.body.data_offsets);
    let mut filled = 0;
    for Entry { name, body } in entries.iter() {
        let Body { dtype: Known(dtype), shape: Dims(shape), data_offsets: [start, end] } = body;
        let elements = shape.iter().try_fold(1u64, |product, dim| product.checked_mul(*dim));
        let Some(bytes) = elements.and_then(|elements| dtype.bytes(elements)) else {
            return Err(format!("tensor {name}: {} of shape {shape:?} has no possible size", dtype.name));
        };
        if end < start {
            return Err(format!("tensor {name} ends at byte {end}, before its start at {start}"));
        }
        if *end > data {
            return Err(format!(
                "tensor {name} lies at bytes {start} to {end} of {data}: the file is truncated or its offsets are wrong"
            ));
        }
        if *end - *start != bytes {
            let dtype = dtype.name;
            return Err(format!(
                "tensor {name}: {dtype} of shape {shape:?} takes {bytes} bytes, not {}",
                *end - *start
            ));
        }
        if *start < filled {
            return Err(format!(
                "tensor {name} starts at byte {start}, within the tensor before it, which ends at {filled}"
            ));
        }
        if *start > filled {
            return Err(format!("the bytes {filled} to {start} before tensor {name} belong to no tensor"));
        }
        filled = *end;
    }
    if filled < data {
        return Err(format!("the last {} of its {data} bytes belong to no tensor", data - filled));
    }
    Ok(())
}

/// The entries of a header, in the file's order; a name may be there twice.
struct Header(Vec<Entry>);

struct Entry {
    name: String,
    body: Body,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    dtype: Known,
    shape: Dims,
    data_offsets: [u64; 2],
}

struct Known(Dtype);

struct Dims(Vec<u64>);

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Header;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of tensors")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Header, A::Error> {
                let mut entries = Vec::new();
                while let Some(name) = map.next_key::<String>()? {
                    if name == "__metadata__" {
                        map.next_value::<IgnoredAny>()?;
                        continue;
                    }
                    if entries.len() == TENSOR_LIMIT {
                        return Err(de::Error::custom(format!("it has more than {TENSOR_LIMIT} tensors")));
                    }
                    let named = |cause: A::Error| de::Error::custom(format!("tensor {name}: {cause}"));
                    let body = map.next_value().map_err(named)?;
                    entries.push(Entry { name, body });
                }
                Ok(Header(entries))
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

impl<'de> Deserialize<'de> for Known {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        let unknown = || de::Error::custom(format!("unknown dtype {}", name.chars().take(32).collect::<String>()));
        Dtype::named(&name).map(Self).ok_or_else(unknown)
    }
}

impl<'de> Deserialize<'de> for Dims {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Shape;
        impl<'de> Visitor<'de> for Shape {
            type Value = Dims;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of dimensions")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Dims, A::Error> {
                let mut dims = Vec::with_capacity(4);
                while let Some(dim) = seq.next_element()? {
                    if dims.len() == RANK_LIMIT {
                        return Err(de::Error::custom(format!("more than {RANK_LIMIT} dimensions")));
                    }
                    dims.push(dim);
                }
                Ok(Dims(dims))
            }
        }
        deserializer.deserialize_seq(Shape)
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
        let brief: Vec<_> = found
            .iter()
            .map(|tensor| (tensor.name.as_str(), tensor.dtype.name, &tensor.shape[..], tensor.offset))
            .collect();
        assert_eq!(brief, [("a", "F32", &[][..], data), ("b", "F16", &[2, 3], data + 4)]);
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
            for (place, byte) in changes {
                bytes[place] = byte;
            }
            if let Some(length) = length {
                bytes[..8].copy_from_slice(&(length >> (length % 64)).to_le_bytes());
            }
            bytes.truncate(small().len() - cut);
            let len = bytes.len();
            let (found, largest) = read(bytes);
            prop_assert!(largest <= len);
            for tensor in found.unwrap_or_default() {
                let elements = tensor.shape.iter().product();
                let end = tensor.dtype.bytes(elements).and_then(|bytes| bytes.checked_add(tensor.offset));
                prop_assert!(end.is_some_and(|end| end <= len as u64), "{tensor:?} of {len}");
            }
        }
    }
}
