//! The `convnext` command.

// A request's memory is taken by one thread and given back by others, over which those of the system's allocator wait for each other.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    convnext_server::cli::run()
}
