//! Finds CTranslate2's shared library for the linker and, later, for the loader.

use std::{env, path::Path};

fn main() {
    // Two levels above `actors/engines/ctranslate2` is the checkout.
    let root = env::var("CARGO_MANIFEST_DIR").expect("cargo sets it") + "/../../..";
    let directory = Path::new(&root).join(".native/ctranslate2/lib");
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed={}", directory.display());
    let Ok(directory) = directory.canonicalize() else {
        println!("cargo::error=CTranslate2 has not been fetched yet: run `make native` first");
        return;
    };
    println!("cargo::rustc-link-search=native={}", directory.display());
    // A package puts the libraries beside its executables; a checkout has them where they are now.
    println!("cargo::rustc-link-arg=-Wl,-rpath,$ORIGIN/../lib/babelmesh");
    println!("cargo::rustc-link-arg=-Wl,-rpath,{}", directory.display());
}
