//! Lets the programs of a package find libtorch when they start, and says what to do where there is none.
//!
//! Every package that makes a program or a test with libtorch in it names this file as its `build` script.

use std::{env, path::Path};

fn main() {
    println!("cargo::rerun-if-env-changed=LIBTORCH");
    // Without the variable, libtorch belongs to the system or to a Python, and is found there.
    let Some(libtorch) = env::var_os("LIBTORCH") else {
        return;
    };
    let libtorch = Path::new(&libtorch);
    let library = libtorch.join("lib");
    println!("cargo::rerun-if-changed={}", library.display());
    if !library.is_dir() {
        println!(
            "cargo::error=there is no libtorch in {}: run `make setup` (or set LIBTORCH to where it is)",
            libtorch.display()
        );
        return;
    }
    println!("cargo::rustc-link-arg=-Wl,-rpath,{}", library.display());
}
