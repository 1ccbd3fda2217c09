//! Functions that are there because clients look them up, and answer that they are not supported.

#![expect(unsafe_code, reason = "the boundary to C")]

use super::super::code::Code;
use super::super::findings;

/// Declares them by name. Their arguments are never looked at: in C's convention the caller passes and removes them, whatever there are.
macro_rules! unsupported {
    ($($name:ident)*) => {
        $(
            #[doc = concat!("`", stringify!($name), "`: not supported.")]
            ///
            /// # Safety
            /// None is needed.
            #[unsafe(no_mangle)]
            #[allow(non_snake_case, reason = "the driver API's")]
            pub unsafe extern "C" fn $name() -> Code {
                findings::say(concat!(stringify!($name), " is not supported"));
                Code::NOT_SUPPORTED
            }
        )*
        pub(super) const EXPORTED: &[(&str, *const ())] = &[$((stringify!($name), $name as *const ())),*];
    };
}

unsupported! {
    // memory of other interfaces and other processes
    cuImportExternalMemory
    cuExternalMemoryGetMappedBuffer
    cuDestroyExternalMemory
    cuImportExternalSemaphore
    cuDestroyExternalSemaphore
    cuIpcGetEventHandle
    cuIpcOpenEventHandle
    cuIpcGetMemHandle
    cuIpcOpenMemHandle_v2
    cuIpcCloseMemHandle
    // virtual memory
    cuMemAddressReserve
    cuMemAddressFree
    cuMemCreate
    cuMemRelease
    cuMemMap
    cuMemUnmap
    cuMemSetAccess
    cuMemGetAllocationGranularity
    // copies of rows
    cuMemcpy2D_v2
    cuMemcpy2DUnaligned_v2
    cuMemcpy2DAsync_v2
    cuMemcpy3D_v2
    cuMemcpy3DAsync_v2
    cuMemsetD2D8_v2
    cuMemsetD2D16_v2
    cuMemsetD2D32_v2
    // clusters of blocks
    cuOccupancyMaxPotentialClusterSize
    cuOccupancyMaxActiveClusters
    cuTensorMapEncodeTiled
    // graphs made by hand
    cuGraphCreate
    cuGraphClone
    cuGraphAddKernelNode_v2
    cuGraphAddMemcpyNode
    cuGraphAddMemsetNode
    cuGraphAddHostNode
    cuGraphAddEmptyNode
    cuGraphAddDependencies
    cuStreamBeginCaptureToGraph
    // waits for values in memory
    cuStreamWaitValue32_v2
    cuStreamWriteValue32_v2
    cuStreamWaitValue64_v2
    cuStreamWriteValue64_v2
    // other devices
    cuLaunchCooperativeKernelMultiDevice
}
