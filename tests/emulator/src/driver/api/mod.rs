//! The functions that `libcuda.so` exports. Each only unwraps what C passes, asks the driver, and stores what it answers: no logic here.

pub mod pointer;

mod context;
mod copy;
mod device;
mod event;
mod function;
mod graph;
mod launch;
mod link;
mod lookup;
mod memory;
mod module;
mod node;
mod peer;
mod pool;
mod stream;
mod unsupported;

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::code::Code;
use super::findings;

pub use context::*;
pub use copy::*;
pub use device::*;
pub use event::*;
pub use function::*;
pub use graph::*;
pub use launch::*;
pub use link::*;
pub use lookup::*;
pub use memory::*;
pub use module::*;
pub use node::*;
pub use peer::*;
pub use pool::*;
pub use stream::*;
pub use unsupported::*;

/// Declares functions of the API by their C names and arguments; the body makes a `Result<(), Code>`. `EXPORTED` lists them for
/// `cuGetProcAddress`.
macro_rules! api {
    ($(fn $name:ident($($argument:ident: $type:ty),* $(,)?) $body:block)*) => {
        $(
            #[doc = concat!("`", stringify!($name), "`, as NVIDIA documents it.")]
            ///
            /// # Safety
            /// Pointers are null, or point to what the driver API says of the argument.
            #[unsafe(no_mangle)]
            #[allow(non_snake_case, clippy::too_many_arguments, reason = "the driver API's")]
            pub unsafe extern "C" fn $name($($argument: $type),*) -> $crate::driver::code::Code {
                $crate::driver::api::answer(move || $body)
            }
        )*
        pub(super) const EXPORTED: &[(&str, *const ())] = &[$((stringify!($name), $name as *const ())),*];
    };
}
use api;

/// Everything that is exported, by name.
const EXPORTED: [&[(&str, *const ())]; 16] = [
    context::EXPORTED,
    copy::EXPORTED,
    device::EXPORTED,
    event::EXPORTED,
    function::EXPORTED,
    graph::EXPORTED,
    launch::EXPORTED,
    link::EXPORTED,
    lookup::EXPORTED,
    memory::EXPORTED,
    module::EXPORTED,
    node::EXPORTED,
    peer::EXPORTED,
    pool::EXPORTED,
    stream::EXPORTED,
    unsupported::EXPORTED,
];

thread_local! {
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// While a function of the client's runs for a stream, its thread may not call the driver.
struct Inside;

impl Inside {
    fn enter() -> Self {
        INSIDE.set(true);
        Self
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        INSIDE.set(false);
    }
}

/// What a call answers; nothing unwinds into C.
fn answer(call: impl FnOnce() -> Result<(), Code>) -> Code {
    if INSIDE.get() {
        return Code::NOT_PERMITTED;
    }
    catch_unwind(AssertUnwindSafe(call)).map_or_else(
        |_| {
            findings::report("the emulator is broken: a call panicked");
            Code::UNKNOWN
        },
        Code::from,
    )
}
