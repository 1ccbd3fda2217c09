//! The end of the process: what is left is reported, findings are counted. The only code that nobody calls.

#![expect(
    unsafe_code,
    reason = "a destructor of the library, and the end of a process whose client found nothing wrong"
)]

use super::findings::STRICT_STATUS;
use super::state::at_exit;

/// Called by the loader when the process ends, as a destructor in C would be.
#[used]
// SAFETY: entries of this section are functions of this type.
#[unsafe(link_section = ".fini_array")]
static AT_EXIT: extern "C" fn() = end;

extern "C" fn end() {
    if std::panic::catch_unwind(at_exit).unwrap_or(false) {
        _exit(STRICT_STATUS);
    }
}

// SAFETY: it is C's, has this type, and needs nothing.
unsafe extern "C" {
    safe fn _exit(status: i32) -> !;
}
