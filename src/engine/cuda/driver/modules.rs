//! Kernels by name: the PTX of a file is given to the driver when its first kernel is needed. Not here: launching (`launch`).

use std::collections::HashMap;
use std::ffi::{CString, c_void};
use std::sync::{Mutex, PoisonError};

use cudarc::driver::sys::{self, CUfunction_attribute_enum as Attribute, CUjit_option};
use cudarc::driver::{CudaFunction, CudaModule};
use cudarc::nvrtc::Ptx;
use std::sync::Arc;

use super::error::{Doing as _, DriverError};
use super::gpu::Gpu;
use crate::engine::cuda::card::Target;
use crate::engine::cuda::launch::Launch;

/// Room for what the driver's compiler says of a PTX that it refuses.
const LOG_BYTES: usize = 8192;

/// Shared memory that a kernel gets without asking.
const SHARED_WITHOUT_ASKING: u32 = 48 * 1024;

/// Modules and kernels that were needed so far.
#[derive(Default)]
pub(crate) struct Modules {
    loaded: Mutex<Loaded>,
}

#[derive(Default)]
struct Loaded {
    modules: HashMap<&'static str, Arc<CudaModule>>,
    functions: HashMap<&'static str, CudaFunction>,
}

impl Gpu {
    /// The kernel of a launch, which may take as much shared memory as the card has.
    pub(crate) fn function(&self, launch: &Launch) -> Result<CudaFunction, DriverError> {
        // a panic cannot leave a map half changed
        let mut loaded = self.modules.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(function) = loaded.functions.get(launch.kernel) {
            return Ok(function.clone());
        }
        self.bind()?;
        let module = match loaded.modules.get(launch.source.name) {
            Some(module) => Arc::clone(module),
            None => {
                let module = self.load(launch)?;
                loaded.modules.insert(launch.source.name, Arc::clone(&module));
                module
            }
        };
        let function = self.note(module.load_function(launch.kernel).doing(|| format!("finding {}", launch.kernel)))?;
        // what the kernel declares itself counts too
        let own = self.note(function.shared_size_bytes().doing(|| format!("asking about {}", launch.kernel)))? as u32;
        let most = self.card.shared_per_block.saturating_sub(own);
        if most > SHARED_WITHOUT_ASKING {
            let asked = function.set_attribute(Attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, most as i32);
            self.note(asked.doing(|| format!("asking for shared memory of {}", launch.kernel)))?;
        }
        loaded.functions.insert(launch.kernel, function.clone());
        Ok(function)
    }

    fn load(&self, launch: &Launch) -> Result<Arc<CudaModule>, DriverError> {
        let source = launch.source;
        let text = match self.card.target() {
            Target::Sm75 => source.sm_75,
            Target::Sm80 => source.sm_80,
        };
        self.context.load_module(Ptx::from_src(text)).or_else(|error| {
            let log = self.log(text);
            self.note(Err(error).doing(|| format!("compiling {} for {}: {log}", source.name, self.name)))
        })
    }

    /// What the driver's compiler says of a PTX that was refused.
    fn log(&self, text: &str) -> String {
        let (Ok(text), mut log) = (CString::new(text), vec![0u8; LOG_BYTES]) else { return String::new() };
        let mut module = std::ptr::null_mut();
        let mut options = [CUjit_option::CU_JIT_ERROR_LOG_BUFFER, CUjit_option::CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES];
        // a size is passed in the pointer itself
        let mut values = [log.as_mut_ptr().cast::<c_void>(), LOG_BYTES as *mut c_void];
        // SAFETY: the context is bound; text ends with a zero; the buffer has as many bytes as are said, and all live through the call.
        let result = unsafe {
            sys::cuModuleLoadDataEx(
                &raw mut module,
                text.as_ptr().cast(),
                options.len() as u32,
                options.as_mut_ptr(),
                values.as_mut_ptr(),
            )
        };
        if result == sys::CUresult::CUDA_SUCCESS {
            // SAFETY: the module was loaded just now, and nothing uses it.
            unsafe { sys::cuModuleUnload(module) };
            return "it compiled at the second try".to_owned();
        }
        let end = log.iter().position(|byte| *byte == 0).unwrap_or(log.len());
        String::from_utf8_lossy(&log[..end]).trim().to_owned()
    }
}
