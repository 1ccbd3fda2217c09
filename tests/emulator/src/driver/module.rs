//! Modules: what an image is, loading PTX, and finding kernels and variables in it. Not here: how PTX is read (`crate::program`).

use std::collections::HashMap;

use super::api::pointer::Content;
use super::code::Code;
use super::findings;
use super::function::Function;
use super::handles::Handle;
use super::state::{Driver, State};
use crate::program::Program;

pub(super) struct Module {
    pub(super) context: Handle,
    pub(super) program: Program,
    /// What `.target` says, as 80.
    target: u32,
    /// A kernel has the same handle whenever it is asked for.
    functions: HashMap<String, Handle>,
}

/// Why an image was not loaded.
pub(super) struct Refusal {
    pub(super) code: Code,
    /// What the assembler, or the driver, says about it.
    pub(super) log: String,
}

impl From<Code> for Refusal {
    fn from(code: Code) -> Self {
        Self { code, log: String::new() }
    }
}

/// `e_machine` of an ELF file for CUDA.
const CUDA: u16 = 190;

/// What the use of a module that was unloaded answers.
const UNLOADED: Code = Code::INVALID_HANDLE;

impl Driver {
    /// `cuModuleLoadData`.
    pub(super) fn load(&self, content: Content) -> Result<Handle, Refusal> {
        let (state, context) = self.enter()?;
        let device = std::sync::Arc::clone(state.device_of(context));
        drop(state); // reading takes its time
        let text = match content {
            Content::Text(text) if text.contains(".version") => text,
            Content::Elf(CUDA) | Content::FatBinary => {
                // There is nothing here that executes SASS, whatever card it is for: the client has PTX, or should.
                let log = "this device is emulated, and has no binary code: load PTX".to_owned();
                return Err(Refusal { code: Code::NO_BINARY_FOR_GPU, log });
            }
            _ => {
                let log = "error   : Binary format for key='0', ident='' is not recognized".to_owned();
                return Err(Refusal { code: Code::INVALID_IMAGE, log });
            }
        };
        let program = Program::load(&text, device.settings.sm, &device.memory).map_err(|error| {
            // `cuModuleLoadData` has no log for its client.
            findings::say(format_args!("module refused: {}", error.log));
            Refusal { code: Code(error.code), log: error.log }
        })?;
        let mut state = self.lock();
        state.usable(context)?;
        let target = target(&text).unwrap_or(device.settings.sm);
        Ok(state.modules.add(Module { context, program, target, functions: HashMap::new() }))
    }

    /// `cuModuleUnload`: waits for what may still run in it.
    pub(super) fn unload(&self, module: Handle) -> Result<(), Code> {
        let (state, _) = self.enter()?;
        let context = state.modules.get(module, UNLOADED)?.context;
        let goal = state.schedule.of(context);
        let mut state = self.finish(state, context, &goal)?;
        let found = state.modules.remove(module, UNLOADED)?;
        state.functions.remove_all(|function| function.module == module);
        found.program.unload(state.memory()).map_err(Code::from)
    }
}

impl State {
    /// `cuModuleGetFunction`.
    pub(super) fn find_function(&mut self, module: Handle, name: &str) -> Result<Handle, Code> {
        let found = self.modules.get_mut(module, UNLOADED)?;
        if name.is_empty() {
            return Err(Code::INVALID_VALUE);
        }
        if let Some(function) = found.functions.get(name) {
            return Ok(*function);
        }
        let kernel = found.program.kernel(name).ok_or(Code::NOT_FOUND)?;
        let function = self.functions.add(Function::new(found.context, module, kernel, found.target));
        found.functions.insert(name.to_owned(), function);
        Ok(function)
    }

    /// All kernels of a module, by name.
    pub(super) fn functions_of(&mut self, module: Handle) -> Result<Vec<Handle>, Code> {
        let names = self.modules.get(module, UNLOADED)?.program.kernel_names();
        names.iter().map(|name| self.find_function(module, name)).collect()
    }

    /// `cuModuleGetGlobal`: address and size.
    pub(super) fn find_variable(&self, module: Handle, name: &str) -> Result<(u64, u64), Code> {
        let found = self.modules.get(module, UNLOADED)?;
        if name.is_empty() {
            return Err(Code::INVALID_VALUE);
        }
        found.program.variable(name).ok_or(Code::NOT_FOUND)
    }
}

/// The architecture of a PTX text, as 80.
fn target(text: &str) -> Option<u32> {
    let (_, rest) = text.split_once(".target")?;
    let digits: String = rest.trim_start().strip_prefix("sm_")?.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_text_says_its_target() {
        assert_eq!(super::target(".version 7.0\n.target sm_90a, debug\n"), Some(90));
        assert_eq!(super::target(".version 7.0\n"), None);
    }
}
