//! What the driver answers when it does not succeed. Not here: what becomes of it (`executable`, `load`).

use std::fmt;

use cudarc::driver::sys::CUresult;

/// An error of the driver, with what was being done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DriverError {
    pub(crate) code: CUresult,
    /// What failed, as "copying 600 bytes to the device".
    pub(crate) doing: String,
}

impl DriverError {
    /// Whether no later call in this context can succeed: a kernel has faulted, or the device has gone.
    ///
    /// The list is that of `cudaError_t`'s documentation: errors that leave the process in an inconsistent state.
    pub(crate) fn is_sticky(&self) -> bool {
        use CUresult as Code;
        matches!(
            self.code,
            Code::CUDA_ERROR_ILLEGAL_ADDRESS
                | Code::CUDA_ERROR_LAUNCH_FAILED
                | Code::CUDA_ERROR_LAUNCH_TIMEOUT
                | Code::CUDA_ERROR_MISALIGNED_ADDRESS
                | Code::CUDA_ERROR_INVALID_ADDRESS_SPACE
                | Code::CUDA_ERROR_INVALID_PC
                | Code::CUDA_ERROR_ILLEGAL_INSTRUCTION
                | Code::CUDA_ERROR_HARDWARE_STACK_ERROR
                | Code::CUDA_ERROR_ASSERT
                | Code::CUDA_ERROR_ECC_UNCORRECTABLE
                | Code::CUDA_ERROR_DEVICE_UNAVAILABLE
                | Code::CUDA_ERROR_CONTEXT_IS_DESTROYED
                | Code::CUDA_ERROR_DEINITIALIZED
                | Code::CUDA_ERROR_NO_DEVICE
                | Code::CUDA_ERROR_SYSTEM_NOT_READY
                | Code::CUDA_ERROR_UNKNOWN
        )
    }

    /// Whether there was no memory, which may be there later.
    pub(crate) fn is_out_of_memory(&self) -> bool {
        self.code == CUresult::CUDA_ERROR_OUT_OF_MEMORY
    }
}

impl fmt::Display for DriverError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { code, doing } = self;
        // `{:?}` is the name that NVIDIA's documentation lists
        write!(f, "{doing}: {code:?} ({})", *code as u32)
    }
}

impl std::error::Error for DriverError {}

/// Says what was being done.
pub(crate) trait Doing<T> {
    /// The result, with what was being done where it failed.
    fn doing(self, what: impl FnOnce() -> String) -> Result<T, DriverError>;
}

impl<T> Doing<T> for Result<T, cudarc::driver::DriverError> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T, DriverError> {
        self.map_err(|error| DriverError { code: error.0, doing: what() })
    }
}
