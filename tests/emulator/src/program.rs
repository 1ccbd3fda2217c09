//! A module that was loaded: its kernels decoded for the device, its variables in the device's memory. What a `CUmodule` stands for.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::decode::names::Symbol;
use crate::decode::{self, Error as Located, Fault, kernel, layout};
use crate::exec::op::Code;
use crate::memory::{self, Kind, Memory};
use crate::parse::parse;
use crate::parse::syntax::{Function, Linkage, Module, Space, Variable};

/// A loaded module.
pub struct Program {
    kernels: HashMap<String, Arc<Kernel>>,
    /// Address and size of each variable.
    variables: HashMap<String, (u64, u64)>,
}

/// A kernel that can be launched. What a `CUfunction` stands for.
pub struct Kernel {
    /// Its name.
    pub name: String,
    /// Offset and size of each parameter in the block of parameters.
    pub parameters: Vec<(usize, usize)>,
    /// Bytes of all parameters.
    pub parameter_bytes: usize,
    /// Bytes of shared memory that it declares.
    pub static_shared: u64,
    /// Where dynamic shared memory begins, behind the static.
    pub dynamic_shared: u64,
    /// Bytes of local memory a thread.
    pub local: u64,
    /// The most threads of a block, from `.maxntid` or `.reqntid`.
    pub max_threads: Option<u32>,
    /// The shape of a block that `.reqntid` asks for.
    pub required: Option<[u32; 3]>,
    /// The module's version of PTX, as 78.
    pub ptx_version: u32,
    /// What executes.
    pub code: Code,
}

/// A text that is no module for the device, as `cuModuleLoadData` refuses it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{log}")]
pub struct Error {
    /// `CUresult`: 218 for PTX that is wrong or for a higher target, 222 for a newer version.
    pub code: u32,
    /// What the assembler would say.
    pub log: String,
}

/// `CUresult` of PTX that is wrong.
const INVALID_PTX: u32 = 218;
/// `CUresult` of PTX of a version that the driver does not know.
const UNSUPPORTED_VERSION: u32 = 222;
/// The highest version of PTX that this driver knows: that of CUDA 13.0.
const VERSION: (u32, u32) = (9, 0);

impl Program {
    /// Loads PTX for a device of this compute capability (80).
    ///
    /// # Errors
    /// When it is not PTX, or not for this device.
    pub fn load(text: &str, sm: u32, memory: &Memory) -> Result<Self, Error> {
        let invalid = |log: String| Error { code: INVALID_PTX, log: format!("ptxas application ptx input, {log}") };
        let module = parse(text).map_err(|error| invalid(format!("line {}; error: {}", error.line, error.fault)))?;
        if module.version > VERSION {
            let (major, minor) = module.version;
            let log = format!("Unsupported .version {major}.{minor}; current version is '{}.{}'", VERSION.0, VERSION.1);
            return Err(Error { code: UNSUPPORTED_VERSION, log: format!("ptxas fatal: {log}") });
        }
        if module.address_size != 64 {
            return Err(invalid(format!("fatal: {}-bit addresses, which this device has not", module.address_size)));
        }
        if let Some((line, name)) = twice(&module) {
            return Err(invalid(Located { line, fault: Fault::Duplicate(name.to_owned()) }.to_string()));
        }
        let target = target(&module).map_err(&invalid)?;
        if target > sm {
            return Err(invalid(format!("fatal: SM version {target} is higher than the device's {sm}")));
        }
        let mut program = Self { kernels: HashMap::new(), variables: HashMap::new() };
        match program.fill(&module, target, sm, memory) {
            Ok(()) => Ok(program),
            Err(failure) => {
                program.unload(memory).ok();
                Err(match failure {
                    Unfit::Ptx(error) => invalid(error.to_string()),
                    Unfit::Memory(error) => Error { code: 2, log: error.to_string() },
                })
            }
        }
    }

    fn fill(&mut self, module: &Module, target: u32, sm: u32, memory: &Memory) -> Result<(), Unfit> {
        let globals = self.place(module, memory)?;
        for (number, function) in module.functions.iter().enumerate() {
            if function.entry && function.body.is_some() {
                let decoded = kernel::decode(module, number, &globals, target, sm)?;
                let kernel = Kernel {
                    name: function.name.clone(),
                    parameters: decoded.parameters,
                    parameter_bytes: decoded.parameter_bytes,
                    static_shared: decoded.shared,
                    dynamic_shared: decoded.dynamic,
                    local: decoded.code.local as u64,
                    max_threads: threads(function),
                    required: shape(function, "reqntid"),
                    ptx_version: module.version.0 * 10 + module.version.1,
                    code: decoded.code,
                };
                self.kernels.insert(function.name.clone(), Arc::new(kernel));
            }
        }
        Ok(())
    }

    /// Gives variables memory and their initial values.
    fn place(&mut self, module: &Module, memory: &Memory) -> Result<HashMap<String, Symbol>, Unfit> {
        let mut globals = HashMap::new();
        let defined: HashSet<&str> = module
            .variables
            .iter()
            .filter(|variable| variable.linkage != Linkage::Extern)
            .map(|variable| variable.name.as_str())
            .collect();
        // of one that another text of a link defines, a declaration says nothing more
        let declared =
            |variable: &Variable| variable.linkage == Linkage::Extern && defined.contains(variable.name.as_str());
        let variables = module
            .variables
            .iter()
            .filter(|variable| matches!(variable.space, Space::Global | Space::Const) && !declared(variable));
        for variable in variables.clone() {
            let at = |fault| decode::Error { line: variable.line, fault };
            let size = layout::size(variable).map_err(at)?;
            let kind = if variable.space == Space::Const { Kind::Constant } else { Kind::Variable };
            let address = memory.allocate(size, kind).map_err(Unfit::Memory)?.address;
            self.variables.insert(variable.name.clone(), (address, size));
            globals.insert(variable.name.clone(), Symbol::Variable { space: variable.space, address, size });
        }
        for variable in variables {
            let address_of = |name: &str| match globals.get(name) {
                Some(Symbol::Variable { address, .. }) => Ok(*address),
                _ => {
                    let named = |function: &Function| function.name == name && function.body.is_some();
                    let number = module.functions.iter().position(named);
                    number.map(|number| number as u64).ok_or_else(|| Fault::Symbol(name.to_owned()))
                }
            };
            let bytes =
                layout::bytes(variable, &address_of).map_err(|fault| decode::Error { line: variable.line, fault })?;
            if let Some((address, _)) = self.variables.get(&variable.name) {
                memory.write(*address, &bytes).map_err(Unfit::Memory)?;
            }
        }
        Ok(globals)
    }

    /// The kernel of this name.
    pub fn kernel(&self, name: &str) -> Option<Arc<Kernel>> {
        self.kernels.get(name).cloned()
    }

    /// The names of all kernels, in order.
    pub fn kernel_names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.kernels.keys().cloned().collect();
        names.sort_unstable();
        names
    }

    /// Address and size of a variable.
    pub fn variable(&self, name: &str) -> Option<(u64, u64)> {
        self.variables.get(name).copied()
    }

    /// Frees the variables.
    ///
    /// # Errors
    /// When they are no longer there.
    pub fn unload(&self, memory: &Memory) -> Result<(), memory::Error> {
        self.variables.values().try_for_each(|(address, _)| memory.free(*address))
    }
}

/// Why a module cannot be loaded.
enum Unfit {
    Ptx(decode::Error),
    Memory(memory::Error),
}

impl From<decode::Error> for Unfit {
    fn from(error: decode::Error) -> Self {
        Self::Ptx(error)
    }
}

/// A name that two functions with bodies, or two variables, have.
fn twice(module: &Module) -> Option<(usize, &str)> {
    let functions = module.functions.iter().filter(|function| function.body.is_some());
    let functions = functions.map(|function| (function.line, function.name.as_str()));
    let variables = module.variables.iter().filter(|variable| variable.linkage != Linkage::Extern);
    let mut seen = HashSet::new();
    functions
        .chain(variables.map(|variable| (variable.line, variable.name.as_str())))
        .find(|(_, name)| !seen.insert(*name))
}

/// `sm_80` and `sm_90a` as 80 and 90.
fn target(module: &Module) -> Result<u32, String> {
    let named = module.target.first().map_or("", String::as_str);
    let digits =
        named.strip_prefix("sm_").map(|rest| rest.trim_end_matches(|letter: char| letter.is_ascii_lowercase()));
    digits.and_then(|digits| digits.parse().ok()).ok_or_else(|| format!("fatal: unknown target '{named}'"))
}

/// The most threads of a block.
fn threads(function: &Function) -> Option<u32> {
    let shape = shape(function, "reqntid").or_else(|| shape(function, "maxntid"))?;
    Some(shape.iter().fold(1, |product: u32, size| product.saturating_mul(*size)))
}

/// A directive of up to three sizes.
fn shape(function: &Function, directive: &str) -> Option<[u32; 3]> {
    let (_, numbers) = function.directives.iter().find(|(name, _)| name == directive)?;
    let at = |index: usize| numbers.get(index).map_or(1, |number| u32::try_from(*number).unwrap_or(u32::MAX));
    Some([at(0), at(1), at(2)])
}
