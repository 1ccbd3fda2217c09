//! The files of a crate as its `mod` declarations lead to them, without what only tests compile. Not here: what stands in a file
//! (`mentions`).

use std::path::Path;

use crate::mentions::{Mention, is_test, mentions};

/// A file of the crate.
pub(crate) struct Source {
    /// From the crate's source folder.
    pub(crate) path: String,
    /// Names of the modules from the crate's root to the one that the file is.
    pub(crate) module: Vec<String>,
    /// What its product code mentions.
    pub(crate) mentions: Vec<Mention>,
}

/// The product's own sources.
pub(crate) fn ours() -> Vec<Source> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    read(&|path| std::fs::read_to_string(folder.join(path)).ok())
}

/// The files of the crate whose root is `lib.rs`; `text` gives a file by its path.
pub(crate) fn read(text: &dyn Fn(&str) -> Option<String>) -> Vec<Source> {
    let mut sources = Vec::new();
    let root = text("lib.rs").expect("a lib.rs");
    add("lib.rs", "", &[], &root, text, &mut sources);
    sources
}

/// Adds a file, and those of its modules, which lie in `folder`.
fn add(
    path: &str,
    folder: &str,
    module: &[String],
    code: &str,
    text: &dyn Fn(&str) -> Option<String>,
    sources: &mut Vec<Source>,
) {
    let file = syn::parse_file(code).unwrap_or_else(|error| panic!("{path}: {error}"));
    sources.push(Source { path: path.to_owned(), module: module.to_vec(), mentions: mentions(&file, module, code) });
    for item in file.items {
        // a module with a body is part of this file
        let syn::Item::Mod(syn::ItemMod { attrs, ident, content: None, .. }) = item else { continue };
        if is_test(&attrs) {
            continue;
        }
        assert!(!attrs.iter().any(|attribute| attribute.path().is_ident("path")), "{path}: #[path] is not followed");
        let below = format!("{folder}{ident}");
        let found = [format!("{below}.rs"), format!("{below}/mod.rs")];
        let found = found.into_iter().find_map(|path| Some((text(&path)?, path)));
        let (code, path) = found.unwrap_or_else(|| panic!("{path}: the file of module {ident} is not there"));
        let module = [module, &[ident.to_string()]].concat();
        add(&path, &format!("{below}/"), &module, &code, text, sources);
    }
}
