//! A program whose first instructions say when they run: nothing is loaded or linked before them.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

use super::super::Result;

/// clock_gettime(CLOCK_MONOTONIC, sp - 16), write(1, sp - 16, 16), exit(0).
#[cfg(target_arch = "x86_64")]
const CODE: (u16, &[u8]) = (
    62,
    b"\x48\x83\xec\x10\xb8\xe4\0\0\0\xbf\x01\0\0\0\x48\x89\xe6\x0f\x05\
      \xb8\x01\0\0\0\xbf\x01\0\0\0\x48\x89\xe6\xba\x10\0\0\0\x0f\x05\
      \xb8\x3c\0\0\0\x31\xff\x0f\x05",
);
/// The same.
#[cfg(target_arch = "aarch64")]
const CODE: (u16, &[u8]) = (
    183,
    b"\xff\x43\0\xd1\x28\x0e\x80\xd2\x20\0\x80\xd2\xe1\x03\0\x91\x01\0\0\xd4\
      \x08\x08\x80\xd2\x20\0\x80\xd2\xe1\x03\0\x91\x02\x02\x80\xd2\x01\0\0\xd4\
      \xa8\x0b\x80\xd2\0\0\x80\xd2\x01\0\0\xd4",
);

/// How many bytes it writes.
pub const SIZE: usize = 16;

/// The program in a file, as long as this lives.
pub struct First(PathBuf);

impl First {
    pub fn make() -> Result<Self> {
        const HEADERS: u64 = 64 + 56;
        const ADDRESS: u64 = 0x40_0000;
        let (machine, code) = CODE;
        let size = HEADERS + code.len() as u64;
        // An ELF file of one segment: see elf(5).
        let mut file = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
        file.extend([2, machine].into_iter().flat_map(u16::to_le_bytes));
        file.extend(1u32.to_le_bytes());
        file.extend([ADDRESS + HEADERS, 64, 0].into_iter().flat_map(u64::to_le_bytes));
        file.extend(0u32.to_le_bytes());
        file.extend([64, 56, 1, 0, 0, 0].into_iter().flat_map(u16::to_le_bytes));
        file.extend([1, 5].into_iter().flat_map(u32::to_le_bytes));
        file.extend([0, ADDRESS, ADDRESS, size, size, 0x1_0000].into_iter().flat_map(u64::to_le_bytes));
        file.extend(code);
        let path = std::env::temp_dir().join(format!("sdrun-bench-first-{}", std::process::id()));
        OpenOptions::new().write(true).create_new(true).mode(0o755).open(&path)?.write_all(&file)?;
        Ok(First(path))
    }

    pub fn path(&self) -> &std::path::Path {
        &self.0
    }
}

impl Drop for First {
    fn drop(&mut self) {
        // It is in the temporary folder, which is cleared anyway.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// What the program has written: by its clock, which is [`now`]'s.
pub fn when(bytes: [u8; SIZE]) -> Duration {
    let [seconds, nanoseconds] = [0, 8].map(|at| u64::from_ne_bytes(bytes[at..at + 8].try_into().expect("8 bytes")));
    Duration::from_secs(seconds) + Duration::from_nanos(nanoseconds)
}

pub fn now() -> Result<Duration> {
    Ok(clock_gettime(ClockId::CLOCK_MONOTONIC)?.into())
}
