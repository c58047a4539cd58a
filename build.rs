//! Turns the version of libsystemd into cfgs: `libsystemd_248` is set where the installed
//! libsystemd is 248 or newer. sdrun-sys has asked pkg-config for it and hands it on.

/// Versions that brought a function which sdrun calls where it is there, and reports as
/// `Error::Unsupported` where it is not.
const STEPS: &[u32] = &[248];

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // For tests/valgrind: locks that helgrind sees.
    println!("cargo::rerun-if-env-changed=SDRUN_HELGRIND");
    println!("cargo::rustc-check-cfg=cfg(sdrun_helgrind)");
    if std::env::var_os("SDRUN_HELGRIND").is_some_and(|value| value == "1") {
        println!("cargo::rustc-cfg=sdrun_helgrind");
    }
    let version: u32 = std::env::var("DEP_SDRUN_SYS_VERSION")
        .ok()
        .and_then(|text| text.parse().ok())
        .expect("sdrun-sys's build script reports libsystemd's version as a number");
    for step in STEPS {
        println!("cargo::rustc-check-cfg=cfg(libsystemd_{step})");
        if version >= *step {
            println!("cargo::rustc-cfg=libsystemd_{step}");
        }
    }
}
