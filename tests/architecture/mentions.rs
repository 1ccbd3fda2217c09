//! What a file mentions: modules of ours, crates of others, `unsafe`. By its syntax tree, and by its tokens within macros. Not
//! here: what of it is allowed.

use proc_macro2::{Delimiter, Spacing, Span, TokenStream, TokenTree};
use syn::spanned::Spanned as _;
use syn::visit::{self, Visit};

/// Something that stands in a file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Mention {
    pub(crate) line: usize,
    pub(crate) what: What,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// A module at the top of this crate, by whatever path; `*` for all of them at once.
    Module(String),
    /// A path that begins with this name, which may be a crate's.
    Crate(String),
    /// `unsafe` of any kind.
    Unsafe {
        /// Whether a comment above it begins with `SAFETY:`.
        explained: bool,
    },
}

/// What the product code of a file mentions; `module` is the file's own.
pub(crate) fn mentions(file: &syn::File, module: &[String], code: &str) -> Vec<Mention> {
    let mut reader =
        Reader { lines: code.lines().map(str::trim).collect(), module: module.to_vec(), mentions: Vec::new() };
    reader.visit_file(file);
    reader.mentions
}

/// Whether these attributes keep an item out of the product: `#[cfg(test)]`, alone or among the conditions of `all`.
pub(crate) fn is_test(attributes: &[syn::Attribute]) -> bool {
    fn needs_test(condition: &syn::Meta) -> bool {
        match condition {
            syn::Meta::Path(path) => path.is_ident("test"),
            syn::Meta::List(list) if list.path.is_ident("all") => {
                let conditions =
                    list.parse_args_with(syn::punctuated::Punctuated::<syn::Meta, syn::Token![,]>::parse_terminated);
                conditions.is_ok_and(|conditions| conditions.iter().any(needs_test))
            }
            _ => false,
        }
    }
    let condition = |attribute: &syn::Attribute| attribute.parse_args::<syn::Meta>();
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("test")
            || attribute.path().is_ident("cfg") && condition(attribute).is_ok_and(|condition| needs_test(&condition))
    })
}

struct Reader<'a> {
    lines: Vec<&'a str>,
    module: Vec<String>,
    mentions: Vec<Mention>,
}

impl Reader<'_> {
    fn add(&mut self, span: Span, what: What) {
        self.mentions.push(Mention { line: span.start().line, what });
    }

    fn add_unsafe(&mut self, span: Span) {
        let above = self.lines[..span.start().line - 1].iter().rev();
        let mut notes = above.take_while(|line| line.starts_with("//") || line.starts_with("#["));
        let explained = notes.any(|line| line.starts_with("// SAFETY:"));
        self.add(span, What::Unsafe { explained });
    }

    /// A path, by its names; `is_glob` when everything below it is meant.
    fn add_path(&mut self, span: Span, names: &[String], is_glob: bool) {
        let mut module = self.module.clone();
        let mut rest = names;
        match names.first().map(String::as_str) {
            Some("crate" | "$crate") => {
                module.clear();
                rest = &names[1..];
            }
            Some("self" | "super") => {
                while let Some(("self" | "super", below)) =
                    rest.split_first().map(|(name, below)| (name.as_str(), below))
                {
                    if rest[0] == "super" {
                        module.pop();
                    }
                    rest = below;
                }
            }
            Some(name) if names.len() > 1 || is_glob => return self.add(span, What::Crate(name.to_owned())),
            _ => return,
        }
        module.extend(rest.iter().filter(|name| *name != "self").cloned());
        let top = module.into_iter().next().unwrap_or_else(|| "*".to_owned());
        self.add(span, What::Module(top));
    }

    fn add_use(&mut self, tree: &syn::UseTree, before: &mut Vec<String>) {
        match tree {
            syn::UseTree::Path(path) => {
                before.push(path.ident.to_string());
                self.add_use(&path.tree, before);
                before.pop();
            }
            syn::UseTree::Group(group) => group.items.iter().for_each(|tree| self.add_use(tree, before)),
            syn::UseTree::Glob(glob) => self.add_path(glob.span(), before, true),
            syn::UseTree::Name(syn::UseName { ident }) | syn::UseTree::Rename(syn::UseRename { ident, .. }) => {
                before.push(ident.to_string());
                // even of one name: `use tokio;`
                self.add_path(ident.span(), before, true);
                before.pop();
            }
        }
    }

    /// The paths and the `unsafe` of tokens that are no syntax tree.
    fn add_tokens(&mut self, tokens: TokenStream) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let colons = |at: usize| {
            let punct = |at: usize| match tokens.get(at) {
                Some(TokenTree::Punct(punct)) if punct.as_char() == ':' => Some(punct.spacing()),
                _ => None,
            };
            punct(at) == Some(Spacing::Joint) && punct(at + 1).is_some()
        };
        let mut at = 0;
        while let Some(token) = tokens.get(at) {
            at += 1;
            match token {
                TokenTree::Group(group) => self.add_tokens(group.stream()),
                TokenTree::Ident(ident) if ident == "unsafe" => self.add_unsafe(ident.span()),
                TokenTree::Ident(ident) => {
                    let mut names = vec![ident.to_string()];
                    let mut is_glob = false;
                    while colons(at) {
                        match tokens.get(at + 2) {
                            Some(TokenTree::Ident(next)) => names.push(next.to_string()),
                            // `crate::{…}` and `crate::*` may mean anything
                            Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace => is_glob = true,
                            Some(TokenTree::Punct(star)) if star.as_char() == '*' => is_glob = true,
                            _ => {}
                        }
                        at += if is_glob { 2 } else { 3 };
                        if is_glob {
                            break;
                        }
                    }
                    if names.len() > 1 || is_glob {
                        self.add_path(ident.span(), &names, is_glob);
                    }
                }
                _ => {}
            }
        }
    }
}

impl<'ast> Visit<'ast> for Reader<'_> {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        use syn::Item;
        let attributes = match item {
            Item::Const(item) => &item.attrs,
            Item::Enum(item) => &item.attrs,
            Item::ExternCrate(item) => &item.attrs,
            Item::Fn(item) => &item.attrs,
            Item::ForeignMod(item) => &item.attrs,
            Item::Impl(item) => &item.attrs,
            Item::Macro(item) => &item.attrs,
            Item::Mod(item) => &item.attrs,
            Item::Static(item) => &item.attrs,
            Item::Struct(item) => &item.attrs,
            Item::Trait(item) => &item.attrs,
            Item::Type(item) => &item.attrs,
            Item::Use(item) => &item.attrs,
            _ => return visit::visit_item(self, item),
        };
        if !is_test(attributes) {
            visit::visit_item(self, item);
        }
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        if !is_test(&item.attrs) {
            visit::visit_impl_item_fn(self, item);
        }
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        if !is_test(&item.attrs) {
            visit::visit_trait_item_fn(self, item);
        }
    }

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        self.module.push(item.ident.to_string());
        visit::visit_item_mod(self, item);
        self.module.pop();
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.add_use(&item.tree, &mut Vec::new());
        visit::visit_item_use(self, item);
    }

    fn visit_item_extern_crate(&mut self, item: &'ast syn::ItemExternCrate) {
        self.add(item.ident.span(), What::Crate(item.ident.to_string()));
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let names: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        // `self` alone is a value, not a module
        if names != ["self"] {
            self.add_path(path.span(), &names, false);
        }
        visit::visit_path(self, path);
    }

    /// `pub(crate)` and `pub(super)` mention nothing.
    fn visit_vis_restricted(&mut self, _: &'ast syn::VisRestricted) {}

    fn visit_macro(&mut self, item: &'ast syn::Macro) {
        self.add_tokens(item.tokens.clone());
        visit::visit_macro(self, item);
    }

    fn visit_meta_list(&mut self, list: &'ast syn::MetaList) {
        self.add_tokens(list.tokens.clone());
        visit::visit_meta_list(self, list);
    }

    fn visit_expr_unsafe(&mut self, block: &'ast syn::ExprUnsafe) {
        self.add_unsafe(block.unsafe_token.span);
        visit::visit_expr_unsafe(self, block);
    }

    fn visit_signature(&mut self, signature: &'ast syn::Signature) {
        if let Some(token) = signature.unsafety {
            self.add_unsafe(token.span);
        }
        visit::visit_signature(self, signature);
    }

    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        if let Some(token) = item.unsafety {
            self.add_unsafe(token.span);
        }
        visit::visit_item_impl(self, item);
    }

    fn visit_item_trait(&mut self, item: &'ast syn::ItemTrait) {
        if let Some(token) = item.unsafety {
            self.add_unsafe(token.span);
        }
        visit::visit_item_trait(self, item);
    }

    fn visit_item_foreign_mod(&mut self, item: &'ast syn::ItemForeignMod) {
        if let Some(token) = item.unsafety {
            self.add_unsafe(token.span);
        }
        visit::visit_item_foreign_mod(self, item);
    }
}
