//! `cargo bench --bench micro`: the parts that every message passes, one by one, with their time and their allocations.
//! `cargo bench --bench micro -- instructions`: how many instructions each takes, compared with the recorded ones (see `instructions`).
//!
//! What a part costs inside a server, with its sockets and its neighbours, is what `peers` measures.

#[path = "../parts/house.rs"]
mod house;
mod instructions;
mod workloads;

use std::process::ExitCode;

use divan::{AllocProfiler, Bencher};
use workloads::Workload;

#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    match arguments.split_first() {
        Some((first, rest)) if first == "instructions" => instructions::main(rest),
        _ => {
            divan::main();
            ExitCode::SUCCESS
        }
    }
}

#[divan::bench(args = workloads::ALL)]
fn workload(bencher: Bencher, workload: &Workload) {
    bencher.bench_local((workload.prepare)());
}
