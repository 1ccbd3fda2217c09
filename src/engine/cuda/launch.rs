//! A launch as data: which kernel, how many blocks of how many threads, and its arguments. Launchers (`operations`) make launches, a
//! stream or a graph takes them (`driver/launch`). Not here: the driver.

use std::fmt;

/// The PTX of a file in `kernels/`.
#[derive(Debug)]
pub(crate) struct Source {
    /// The file's name without its ending.
    pub(crate) name: &'static str,
    pub(crate) sm_75: &'static str,
    pub(crate) sm_80: &'static str,
}

/// The PTX of `kernels/$name.cu`, as `cargo xtask kernels` wrote it.
macro_rules! source {
    ($name:literal) => {
        $crate::engine::cuda::launch::Source {
            name: $name,
            sm_75: include_str!(concat!("../../../../kernels/ptx/", $name, ".sm_75.ptx")),
            sm_80: include_str!(concat!("../../../../kernels/ptx/", $name, ".sm_80.ptx")),
        }
    };
}
pub(crate) use source;

/// The one argument of a kernel: a structure whose fields lie as the kernel's own.
pub(crate) trait Arguments: bytemuck::NoUninit + Send + Sync {
    /// Name, offset and size of each field, for the test that holds them against the kernel's.
    #[allow(dead_code, reason = "read by tests alone")]
    const FIELDS: &'static [(&'static str, usize, usize)];
}

/// Declares the argument of a kernel, field by field as in the kernel's file. A hole between two fields does not compile: fields of 8 bytes
/// come first, and `padding` fills up the end.
macro_rules! arguments {
    ($(#[$meta:meta])* $visibility:vis struct $name:ident { $($(#[$field_meta:meta])* $field:ident: $ty:ty),* $(,)? }) => {
        $(#[$meta])*
        #[repr(C)]
        #[derive(Clone, Copy, Debug, PartialEq, bytemuck::NoUninit)]
        $visibility struct $name { $($(#[$field_meta])* pub(crate) $field: $ty),* }

        impl $crate::engine::cuda::launch::Arguments for $name {
            const FIELDS: &'static [(&'static str, usize, usize)] =
                &[$((stringify!($field), std::mem::offset_of!($name, $field), size_of::<$ty>())),*];
        }
    };
}
pub(crate) use arguments;

/// One launch of a kernel.
#[derive(Clone, PartialEq)]
pub(crate) struct Launch {
    pub(crate) source: &'static Source,
    /// The kernel in its source, as `layer_norm_f16`.
    pub(crate) kernel: &'static str,
    pub(crate) grid: [u32; 3],
    pub(crate) block: [u32; 3],
    /// Bytes of dynamic shared memory of a block.
    pub(crate) shared: u32,
    /// The bytes of its [`Arguments`].
    pub(crate) arguments: Vec<u8>,
}

impl Launch {
    /// A launch along one axis, without dynamic shared memory.
    pub(crate) fn new<A: Arguments>(
        source: &'static Source,
        kernel: &'static str,
        grid: [u32; 3],
        block: [u32; 3],
        arguments: &A,
    ) -> Self {
        let arguments = bytemuck::bytes_of(arguments).to_vec();
        Self { source, kernel, grid, block, shared: 0, arguments }
    }

    /// With dynamic shared memory.
    pub(crate) fn with_shared(self, bytes: u32) -> Self {
        Self { shared: bytes, ..self }
    }
}

impl PartialEq for Source {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl fmt::Debug for Launch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kernel, grid, block, shared, .. } = self;
        write!(f, "{kernel} {grid:?} × {block:?}, {shared} bytes shared")
    }
}

/// Holds the fields of an argument against the PTX of kernels: the size of the parameter, and each of its loads, which must be of one field.
#[cfg(test)]
#[allow(clippy::panic, reason = "tests")]
pub(crate) fn assert_fits<A: Arguments>(source: &Source, kernels: &[&str]) {
    for (text, kernel) in kernels.iter().flat_map(|kernel| [(source.sm_75, kernel), (source.sm_80, kernel)]) {
        let Some((_, body)) = text.split_once(&format!(".entry {kernel}(")) else {
            assert!(kernel.ends_with("_bf16") && text == source.sm_75, "{kernel} is not in {}", source.name);
            continue;
        };
        let body = body.split("\n}").next().unwrap_or(body);
        let number = |text: &str, before: &str, after: char| -> Option<usize> {
            text.split_once(before)?.1.split_once(after)?.0.parse().ok()
        };
        let parameter = format!("{kernel}_param_0");
        assert_eq!(number(body, &format!("{parameter}["), ']'), Some(size_of::<A>()), "the size of {parameter}");
        // a register may hold the parameter's address, or that of one of its fields
        let mut bases = vec![(parameter.clone(), 0)];
        for line in body.lines() {
            let words: Vec<&str> = line.split([' ', '\t', ',', ';']).filter(|word| !word.is_empty()).collect();
            let base = |name: &str| bases.iter().find(|(known, _)| known == name).map(|(_, offset)| *offset);
            let found: Option<(&str, i64)> = match words[..] {
                ["mov.b64" | "mov.u64", to, from] => base(from).map(|offset| (to, offset)),
                ["add.s64", to, from, more] => {
                    base(from).zip(more.parse::<i64>().ok()).map(|(offset, more)| (to, offset + more))
                }
                _ => None,
            };
            bases.extend(found.map(|(register, offset)| (register.to_owned(), offset)));
        }
        let mut loads = 0;
        for line in body.lines().filter(|line| line.trim_start().starts_with("ld.param")) {
            let address =
                line.split_once('[').and_then(|(_, address)| address.split_once(']')).map_or("", |(at, _)| at);
            let (base, offset) = address.split_once('+').unwrap_or((address, "0"));
            let base = bases.iter().find(|(known, _)| known == base).map(|(_, offset)| *offset);
            let offset =
                base.zip(offset.parse::<i64>().ok()).and_then(|(base, offset)| usize::try_from(base + offset).ok());
            let offset = offset.unwrap_or_else(|| panic!("{kernel}: {line}"));
            let ty = line.split_whitespace().next().unwrap_or_default();
            let many = [("v2", 2), ("v4", 4)].iter().find(|(name, _)| ty.contains(name)).map_or(1, |(_, many)| *many);
            let bits = ty.rsplit(['u', 's', 'b', 'f']).next().and_then(|bits| bits.parse::<usize>().ok());
            let size = bits.unwrap_or_else(|| panic!("{kernel}: {line}")) / 8;
            for at in (0..many).map(|index| offset + index * size) {
                let known = A::FIELDS.iter().any(|(_, start, bytes)| (*start, *bytes) == (at, size));
                assert!(known, "{kernel}: no field of {size} bytes at {at}: {line}");
                loads += 1;
            }
        }
        assert!(loads > 0, "{kernel} reads nothing of its argument");
    }
}
