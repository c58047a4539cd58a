//! Finds libsystemd with pkg-config, turns its version into cfgs, and hands the version on to the
//! build scripts of the crates that depend on this one.

use std::env;
use std::process::exit;

/// The oldest libsystemd that has everything that is declared without a cfg.
const OLDEST: u32 = 246;
/// The newest libsystemd that a declaration asks for.
const NEWEST: u32 = 258;

/// Lowers the version that is built for, to see that an older libsystemd would do; gives it where
/// pkg-config finds nothing.
const OVERRIDE: &str = "SDRUN_LIBSYSTEMD_VERSION";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    for name in [OVERRIDE, "SYSTEMD_PKG_NAME", "SYSTEMD_LIB_DIR", "DOCS_RS"] {
        println!("cargo::rerun-if-env-changed={name}");
    }

    let version = version();
    if version < OLDEST {
        fail(&[&format!("libsystemd {version} is too old: sdrun needs {OLDEST} or newer")]);
    }
    println!("cargo::metadata=version={version}");

    // Documentation shows everything; rustdoc does not link.
    let documented = env::var_os("DOCS_RS").is_some();
    for cfg in OLDEST..=NEWEST {
        println!("cargo::rustc-check-cfg=cfg(libsystemd_{cfg})");
        if cfg <= version || documented {
            println!("cargo::rustc-cfg=libsystemd_{cfg}");
        }
    }
}

/// The version of libsystemd to build for.
fn version() -> u32 {
    let wanted = env::var(OVERRIDE)
        .ok()
        .map(|text| number(&text).unwrap_or_else(|| fail(&[&format!("{OVERRIDE}={text} is not a version")])));
    match (installed(), wanted) {
        (Ok(found), None) => found,
        (Ok(found), Some(wanted)) if wanted <= found => wanted,
        (Ok(found), Some(wanted)) => {
            fail(&[&format!("{OVERRIDE}={wanted} can only lower the version: libsystemd {found} is installed")])
        }
        // libsystemd-sys was told where the library is, so pkg-config need not know it.
        (Err(_), Some(wanted)) if env::var_os("SYSTEMD_LIB_DIR").is_some() => wanted,
        (Err(error), _) => {
            for line in error.lines().filter(|line| !line.trim().is_empty()) {
                println!("cargo::warning={line}");
            }
            fail(&[
                "libsystemd's development files were not found with pkg-config. Install them:",
                "  Debian, Ubuntu:  apt install libsystemd-dev pkg-config",
                "  Fedora, RHEL:    dnf install systemd-devel pkgconf",
                "  Arch Linux:      pacman -S systemd pkgconf",
                "  openSUSE:        zypper install systemd-devel pkgconf",
                "or set SYSTEMD_LIB_DIR and SDRUN_LIBSYSTEMD_VERSION.",
            ])
        }
    }
}

/// The version of the installed libsystemd, or what pkg-config said instead.
fn installed() -> Result<u32, String> {
    let name = env::var("SYSTEMD_PKG_NAME").unwrap_or_else(|_| "libsystemd".into());
    // libsystemd-sys emits the link flags.
    let library = pkg_config::Config::new()
        .cargo_metadata(false)
        .env_metadata(true)
        .probe(&name)
        .map_err(|error| error.to_string())?;
    number(&library.version).ok_or_else(|| {
        format!("pkg-config gives {name} the version {:?}, which does not begin with a number", library.version)
    })
}

/// The number that a version begins with: 252 of `252`, `252.39` or `258~rc1`.
fn number(version: &str) -> Option<u32> {
    let version = version.trim();
    let end = version.find(|c: char| !c.is_ascii_digit()).unwrap_or(version.len());
    version[..end].parse().ok()
}

/// Ends the build with a message, one line each.
fn fail(lines: &[&str]) -> ! {
    for line in lines {
        println!("cargo::error={line}");
    }
    exit(1)
}
