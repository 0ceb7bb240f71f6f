//! Command line of listenkit.
fn main() {}
