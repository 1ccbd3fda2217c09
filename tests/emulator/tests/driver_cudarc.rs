//! The driver as the product uses it: cudarc loads `libcuda.so` and runs a kernel, with copies, an event and a graph. In a process of its own,
//! whose library path leads to the emulator.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::path::{Path, PathBuf};
use std::process::Command;

use cudarc::driver::sys::{CUgraphInstantiate_flags, CUstreamCaptureMode};
use cudarc::driver::{CudaContext, LaunchConfig, PushKernelArg as _};
use cudarc::nvrtc::Ptx;

const VARIABLE: &str = "CUDA_EMULATOR_TEST_CUDARC";

const SCALE: &str = "
.version 7.0
.target sm_75
.address_size 64
.visible .entry scale(.param .u64 values, .param .f32 factor, .param .u32 count)
{
  .reg .pred %p;
  .reg .b32 %r<4>;
  .reg .f32 %f<2>;
  .reg .b64 %x;
  mov.u32 %r0, %ctaid.x;
  mov.u32 %r1, %ntid.x;
  mov.u32 %r2, %tid.x;
  mad.lo.u32 %r0, %r0, %r1, %r2;
  ld.param.u32 %r3, [count];
  setp.ge.u32 %p, %r0, %r3;
  @%p ret;
  ld.param.u64 %x, [values];
  mad.wide.u32 %x, %r0, 4, %x;
  ld.param.f32 %f0, [factor];
  ld.global.f32 %f1, [%x];
  mul.f32 %f1, %f1, %f0;
  st.global.f32 [%x], %f1;
  ret;
}
";

/// The library of this build: cargo puts it beside the tests.
fn library() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let folders = [test.parent().unwrap(), test.parent().and_then(Path::parent).unwrap()];
    let found = folders.iter().map(|folder| folder.join("libcuda_emulator.so")).find(|file| file.exists());
    found.unwrap_or_else(|| panic!("no libcuda_emulator.so in {folders:?}"))
}

/// A folder where the library has the name that is looked for.
fn folder() -> PathBuf {
    let folder = std::env::temp_dir().join(format!("cuda-emulator-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    std::os::unix::fs::symlink(library(), folder.join("libcuda.so")).unwrap();
    folder
}

#[test]
fn cudarc_runs_kernels_and_graphs_and_leaves_nothing() {
    let folder = folder();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["client", "--exact", "--nocapture"]).env(VARIABLE, "1");
    command.env("LD_LIBRARY_PATH", &folder).env("CUDA_EMULATOR_SM", "80").env("CUDA_EMULATOR_STRICT", "1");
    let output = command.output().unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(!said.contains("cuda-emulator"), "{said}");
}

/// That process; in any other, nothing.
#[test]
fn client() {
    if std::env::var_os(VARIABLE).is_none() {
        return;
    }
    let context = CudaContext::new(0).unwrap();
    assert_eq!(context.name().unwrap(), "Emulated NVIDIA A100 (sm_80)");
    assert_eq!(context.compute_capability().unwrap(), (8, 0));
    #[expect(unsafe_code, reason = "one stream, so that no event is needed")]
    // SAFETY: as it says.
    unsafe {
        context.disable_event_tracking();
    }
    let stream = context.new_stream().unwrap();
    let module = context.load_module(Ptx::from_src(SCALE)).unwrap();
    let scale = module.load_function("scale").unwrap();
    let values: Vec<f32> = (0..1000u16).map(f32::from).collect();
    let mut device = stream.clone_htod(&values).unwrap();
    let mut launch = |factor: f32| {
        let mut launch = stream.launch_builder(&scale);
        launch.arg(&mut device).arg(&factor).arg(&1000u32);
        #[expect(unsafe_code, reason = "the kernel takes these, and stays within them")]
        // SAFETY: as it says.
        unsafe { launch.launch(LaunchConfig::for_num_elems(1000)) }.unwrap();
    };
    launch(2.);
    stream.begin_capture(CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL).unwrap();
    launch(3.);
    launch(5.);
    let graph = stream.end_capture(CUgraphInstantiate_flags(0)).unwrap().unwrap();
    graph.upload().unwrap();
    graph.launch().unwrap();
    let event = stream.record_event(None).unwrap();
    event.synchronize().unwrap();
    let expected: Vec<f32> = values.iter().map(|value| value * 30.).collect();
    assert_eq!(stream.clone_dtoh(&device).unwrap(), expected);
}
