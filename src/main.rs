use std::process::ExitCode;

/// Most of what a connection holds comes and goes with it, in sizes of which there are few: memory that lies idle is given back some ten
/// seconds after a crowd has left, by a thread of the allocator's own. `benches/peers` shows both this and the speed of it.
#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    tidegate::cli::main()
}
