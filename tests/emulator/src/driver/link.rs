//! Links: texts of PTX made one, which is the image that comes out. Nothing is assembled: what is wrong with the whole, its loading says.

use super::code::Code;
use super::handles::Handle;
use super::module::Refusal;
use super::state::State;
use crate::parse::parse;

/// The options that a client gave for a link, by the addresses of their numbers and values: logs go there as long as it lives.
#[derive(Clone, Copy)]
pub(super) struct Told {
    pub(super) count: u32,
    pub(super) numbers: usize,
    pub(super) values: usize,
}

/// A link that is not destroyed.
pub(super) struct Link {
    pub(super) context: Handle,
    told: Told,
    /// With the version and the target of each.
    texts: Vec<(String, (u32, u32), String)>,
    /// The whole, with the zero that ends it, once it was asked for.
    image: Vec<u8>,
}

impl State {
    /// `cuLinkCreate`.
    pub(super) fn create_link(&mut self, context: Handle, told: Told) -> Handle {
        self.links.add(Link { context, told, texts: Vec::new(), image: Vec::new() })
    }

    /// `cuLinkAddData`: where what is said about the text goes, and whether it is PTX.
    pub(super) fn add_to_link(&mut self, link: Handle, text: &str) -> Result<(Told, Result<(), Refusal>), Code> {
        let link = self.links.get_mut(link, Code::INVALID_HANDLE)?;
        let outcome = match parse(text) {
            Ok(module) => {
                let target = module.target.first().cloned().unwrap_or_default();
                link.texts.push((text.to_owned(), module.version, target));
                Ok(())
            }
            Err(error) => {
                let log = format!("ptxas application ptx input, line {}; error: {}", error.line, error.fault);
                Err(Refusal { code: Code::INVALID_PTX, log })
            }
        };
        Ok((link.told, outcome))
    }

    /// `cuLinkComplete`: where the image is, its bytes, and where what is said about it goes.
    pub(super) fn complete_link(&mut self, link: Handle) -> Result<(usize, usize, Told), Code> {
        let link = self.links.get_mut(link, Code::INVALID_HANDLE)?;
        let version = link.texts.iter().map(|(_, version, _)| *version).max().ok_or(Code::INVALID_VALUE)?;
        let target = link.texts.iter().map(|(.., target)| target).max_by_key(|target| architecture(target));
        let mut whole: String =
            link.texts.iter().map(|(text, ..)| format!("{}\n", text.trim_end_matches('\0'))).collect();
        // the last of each counts
        if link.texts.len() > 1 {
            let target = target.map_or("", String::as_str);
            whole += &format!(".version {}.{}\n.target {target}\n.address_size 64\n", version.0, version.1);
        }
        link.image = whole.into_bytes();
        link.image.push(0);
        Ok((link.image.as_ptr() as usize, link.image.len(), link.told))
    }

    /// `cuLinkDestroy`: the image goes with it.
    pub(super) fn destroy_link(&mut self, link: Handle) -> Result<(), Code> {
        self.links.remove(link, Code::INVALID_HANDLE).map(|_| ())
    }
}

/// `sm_80` as 80.
fn architecture(target: &str) -> u32 {
    target.chars().filter(char::is_ascii_digit).collect::<String>().parse().unwrap_or(0)
}
