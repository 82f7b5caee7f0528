//! The multi-call binary: `bitbake` and its relatives, by the name it is called as.

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    std::process::exit(hz_cli::main());
}
