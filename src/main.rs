//! The `convnext` command.

fn main() -> std::process::ExitCode {
    convnext_server::cli::run()
}
