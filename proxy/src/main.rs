//! The `narrows` binary.

use std::process::ExitCode;

#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // Not locked: a gateway runs in here, and its log writes to the same places from other threads.
    let (mut out, mut err) = (std::io::stdout(), std::io::stderr());
    ExitCode::from(narrows::cli::main(std::env::args_os(), &mut out, &mut err))
}
