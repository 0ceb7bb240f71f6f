//! Gives the shared library the name that programs ask for at run time.

use std::env;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let os = env::var("CARGO_CFG_TARGET_OS").unwrap_or_default();
    if matches!(os.as_str(), "linux" | "freebsd" | "netbsd" | "openbsd") {
        // Up to 1.0 every minor version may change the ABI, so it is part of the name.
        let part = |name: &str| env::var(name).unwrap_or_default();
        let (major, minor) = (
            part("CARGO_PKG_VERSION_MAJOR"),
            part("CARGO_PKG_VERSION_MINOR"),
        );
        let version = if major == "0" {
            format!("0.{minor}")
        } else {
            major
        };
        println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,liblistenkit.so.{version}");
    }
}
