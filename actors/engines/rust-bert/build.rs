//! Finds libtorch's shared libraries for the loader; for the linker, torch-sys finds them by the same variables.

use std::{env, path::PathBuf};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    for variable in ["LIBTORCH", "LIBTORCH_LIB", "LIBTORCH_USE_PYTORCH"] {
        println!("cargo::rerun-if-env-changed={variable}");
    }
    if env::var_os("LIBTORCH_USE_PYTORCH").is_some() {
        // Only that Python knows where the libraries are, and its environment has to say so at run time.
        return;
    }
    let libtorch = env::var_os("LIBTORCH_LIB").or_else(|| env::var_os("LIBTORCH"));
    let directory = libtorch.map(PathBuf::from).unwrap_or_default().join("lib");
    println!("cargo::rerun-if-changed={}", directory.display());
    let Ok(directory) = directory.canonicalize() else {
        println!(
            "cargo::error=there is no libtorch in {}: run `make native` first, or set LIBTORCH to one",
            directory.display()
        );
        return;
    };
    // A package puts the libraries beside its executables; a checkout has them where they are now.
    println!("cargo::rustc-link-arg=-Wl,-rpath,$ORIGIN/../lib/babelmesh");
    println!("cargo::rustc-link-arg=-Wl,-rpath,{}", directory.display());
}
