//! Launches on a stream, or into the graph that the stream records. Not here: what is launched (`operations`).

use cudarc::driver::{CudaStream, result};

use super::error::{Doing as _, DriverError};
use super::gpu::Gpu;
use crate::engine::cuda::launch::Launch;

impl Gpu {
    /// Queues a launch.
    pub(crate) fn launch(&self, stream: &CudaStream, launch: &Launch) -> Result<(), DriverError> {
        let function = self.function(launch)?;
        self.bind()?;
        let [grid, block] = [launch.grid, launch.block].map(|[x, y, z]| (x, y, z));
        let arguments = launch.arguments.as_ptr().cast_mut().cast();
        // SAFETY: the kernel's one argument is the structure whose bytes these are (a test holds their layouts against each other), and the
        // driver copies it now. That its addresses lie in arrays that are large enough is what `operations` promise: sizes are held
        // against `needs` when a model is loaded (`Plan::check`), the arrays are owned by whoever waits for this stream before it drops them.
        let launched = unsafe {
            result::launch_kernel(
                function.cu_function(),
                grid,
                block,
                launch.shared,
                stream.cu_stream(),
                &mut [arguments],
            )
        };
        self.note(launched.doing(|| format!("launching {launch:?}")))
    }
}
