//! A client of the driver API as a C program is one: functions by their names, pointers, error codes.
#![allow(
    unsafe_code,
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "tests; each uses a part"
)]

use std::ffi::{CString, c_char, c_int, c_uint, c_void};
use std::process::Command;
use std::ptr::{null, null_mut};

// The emulator is linked in, so that its symbols are found as those of a shared library would be.
use cuda_emulator as _;

unsafe extern "C" {
    fn cuInit(flags: c_uint) -> c_int;
    fn cuDeviceGet(device: *mut c_int, ordinal: c_int) -> c_int;
    fn cuDevicePrimaryCtxRetain(context: *mut *mut c_void, device: c_int) -> c_int;
    fn cuDevicePrimaryCtxRelease_v2(device: c_int) -> c_int;
    fn cuCtxSetCurrent(context: *mut c_void) -> c_int;
    fn cuCtxSynchronize() -> c_int;
    fn cuMemAlloc_v2(address: *mut u64, size: usize) -> c_int;
    fn cuMemFree_v2(address: u64) -> c_int;
    fn cuMemcpyHtoD_v2(to: u64, from: *const c_void, size: usize) -> c_int;
    fn cuMemcpyDtoH_v2(to: *mut c_void, from: u64, size: usize) -> c_int;
    fn cuStreamCreate(stream: *mut *mut c_void, flags: c_uint) -> c_int;
    fn cuStreamSynchronize(stream: *mut c_void) -> c_int;
    fn cuMemHostAlloc(pointer: *mut *mut c_void, size: usize, flags: c_uint) -> c_int;
    fn cuMemcpyDtoHAsync_v2(to: *mut c_void, from: u64, size: usize, stream: *mut c_void) -> c_int;
    fn cuModuleLoadData(module: *mut *mut c_void, image: *const c_void) -> c_int;
    fn cuModuleGetFunction(function: *mut *mut c_void, module: *mut c_void, name: *const c_char) -> c_int;
    fn cuModuleUnload(module: *mut c_void) -> c_int;
    fn cuLaunchKernel(
        function: *mut c_void,
        grid_x: c_uint,
        grid_y: c_uint,
        grid_z: c_uint,
        block_x: c_uint,
        block_y: c_uint,
        block_z: c_uint,
        shared: c_uint,
        stream: *mut c_void,
        parameters: *mut *mut c_void,
        extra: *mut *mut c_void,
    ) -> c_int;
}

/// The primary context of the only device.
pub struct Card(());

/// A kernel of a module.
#[derive(Clone, Copy)]
pub struct Kernel {
    module: *mut c_void,
    function: *mut c_void,
}

/// What a call answers when it does not succeed.
pub type Code = i32;

fn done(code: Code) -> Result<(), Code> {
    if code == 0 { Ok(()) } else { Err(code) }
}

impl Card {
    pub fn open() -> Self {
        let (mut device, mut context) = (0, null_mut());
        // SAFETY: places for results are given, as the API asks.
        let codes = unsafe {
            [
                cuInit(0),
                cuDeviceGet(&raw mut device, 0),
                cuDevicePrimaryCtxRetain(&raw mut context, device),
                cuCtxSetCurrent(context),
            ]
        };
        assert_eq!(codes, [0; 4]);
        Self(())
    }

    /// Gives the context back, which is when leaks are found.
    pub fn close(self) -> Code {
        // SAFETY: the device is the one that was retained.
        unsafe { cuDevicePrimaryCtxRelease_v2(0) }
    }

    pub fn kernel(&self, ptx: &str, name: &str) -> Result<Kernel, Code> {
        let (text, name) = (CString::new(ptx).unwrap(), CString::new(name).unwrap());
        let mut kernel = Kernel { module: null_mut(), function: null_mut() };
        // SAFETY: both texts end with a zero and live through the calls.
        unsafe {
            done(cuModuleLoadData(&raw mut kernel.module, text.as_ptr().cast()))?;
            done(cuModuleGetFunction(&raw mut kernel.function, kernel.module, name.as_ptr()))?;
        }
        Ok(kernel)
    }

    pub fn unload(&self, kernel: Kernel) -> Result<(), Code> {
        // SAFETY: a handle that the API gave.
        done(unsafe { cuModuleUnload(kernel.module) })
    }

    pub fn allocate(&self, size: usize) -> Result<u64, Code> {
        let mut address = 0;
        // SAFETY: a place for the result is given.
        done(unsafe { cuMemAlloc_v2(&raw mut address, size) }).map(|()| address)
    }

    pub fn free(&self, address: u64) -> Result<(), Code> {
        // SAFETY: the API checks the address.
        done(unsafe { cuMemFree_v2(address) })
    }

    pub fn upload<T: Copy>(&self, values: &[T]) -> Result<u64, Code> {
        let address = self.allocate(size_of_val(values))?;
        // SAFETY: as many bytes as the values have.
        done(unsafe { cuMemcpyHtoD_v2(address, values.as_ptr().cast(), size_of_val(values)) })?;
        Ok(address)
    }

    pub fn download<T: Copy + Default>(&self, address: u64, count: usize) -> Result<Vec<T>, Code> {
        let mut values = vec![T::default(); count];
        // SAFETY: as many bytes as the values have; any bits are values of the numbers that tests use.
        done(unsafe { cuMemcpyDtoH_v2(values.as_mut_ptr().cast(), address, size_of_val(values.as_slice())) })?;
        Ok(values)
    }

    /// Queues a launch; parameters by their bytes.
    pub fn launch(
        &self,
        kernel: Kernel,
        grid: [u32; 3],
        block: [u32; 3],
        shared: u32,
        parameters: &[Vec<u8>],
    ) -> Result<(), Code> {
        let mut pointers: Vec<*mut c_void> = parameters.iter().map(|bytes| bytes.as_ptr().cast_mut().cast()).collect();
        // SAFETY: a pointer a parameter, to as many bytes as it has.
        done(unsafe {
            cuLaunchKernel(
                kernel.function,
                grid[0],
                grid[1],
                grid[2],
                block[0],
                block[1],
                block[2],
                shared,
                null_mut(),
                pointers.as_mut_ptr(),
                null::<c_void>().cast_mut().cast(),
            )
        })
    }

    /// A copy into pinned memory, read before and after the stream was waited for.
    pub fn read_early_and_late(&self, address: u64) -> Result<[u32; 2], Code> {
        let (mut stream, mut pinned) = (null_mut(), null_mut());
        // SAFETY: places for results are given; the pinned memory has the four bytes that are copied and read.
        unsafe {
            done(cuStreamCreate(&raw mut stream, 1))?;
            done(cuMemHostAlloc(&raw mut pinned, 4, 0))?;
            done(cuMemcpyDtoHAsync_v2(pinned, address, 4, stream))?;
            let early = pinned.cast::<u32>().read_volatile();
            done(cuStreamSynchronize(stream))?;
            Ok([early, pinned.cast::<u32>().read_volatile()])
        }
    }

    pub fn synchronize(&self) -> Result<(), Code> {
        // SAFETY: no arguments.
        done(unsafe { cuCtxSynchronize() })
    }
}

/// What a test did in a process of its own: what it printed, and what the emulator had to say.
pub struct Told {
    pub printed: String,
    /// All of its standard output, what kernels print among it.
    pub shown: String,
    pub explained: String,
}

/// Runs a test of this name again in a process of its own, because what it does to the device cannot be undone. In that process `act` runs, and
/// what it gives is printed.
pub fn apart(test: &str, environment: &[(&str, &str)], act: impl FnOnce() -> String) -> Option<Told> {
    if std::env::var_os("CUDA_EMULATOR_TEST_APART").is_some() {
        println!("<<{}>>", act());
        return None;
    }
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([test, "--exact", "--nocapture", "--test-threads=1"]).env("CUDA_EMULATOR_TEST_APART", "1");
    let output = command.envs(environment.iter().copied()).output().unwrap();
    let (printed, explained) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    let begin = printed.find("<<").unwrap_or_else(|| panic!("{test} gave nothing: {printed}{explained}"));
    let end = printed.rfind(">>").unwrap();
    Some(Told { printed: printed[begin + 2..end].to_owned(), shown: printed, explained })
}

/// A kernel whose registers are declared: out in %x0, in in %x1, the thread in %r0, the block in %r1.
pub fn ptx(target: &str, body: &str) -> String {
    let version = if target == "sm_75" { "6.5" } else { "7.8" };
    format!(
        ".version {version}\n.target {target}\n.address_size 64\n.visible .entry k(.param .u64 out, .param .u64 in)\n{{\n\
        .reg .pred %p<8>; .reg .b32 %r<16>; .reg .b64 %x<16>; .reg .f32 %f<8>;\n\
        .shared .align 16 .b8 tile[1024];\n\
        ld.param.u64 %x0, [out]; ld.param.u64 %x1, [in]; mov.u32 %r0, %tid.x; mov.u32 %r1, %ctaid.x;\n\
        mul.wide.u32 %x2, %r0, 4; add.u64 %x3, %x0, %x2; add.u64 %x4, %x1, %x2;\n\
        mov.u32 %r2, tile; shl.b32 %r3, %r0, 2; add.u32 %r2, %r2, %r3;\n{body}\nret;\n}}\n"
    )
}
