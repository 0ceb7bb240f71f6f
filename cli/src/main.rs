//! The `listenkit` program; everything is in the library beside it.

use std::process::ExitCode;

fn main() -> ExitCode {
    listenkit_cli::main()
}
