//! Tests that measure what the process uses, and so need one for themselves.

/// Whether this is the process that the test of this full name has for itself alone. If not, it has been run in one.
pub(crate) fn alone(test: &str) -> bool {
    const ALONE: &str = "SDRUN_TEST_ALONE";
    if std::env::var_os(ALONE).is_some() {
        return true;
    }
    let program = std::env::current_exe().unwrap();
    let output = std::process::Command::new(program).args(["--exact", test]).env(ALONE, "1").output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("1 passed"), "{said}");
    false
}

/// Bytes of memory that the process has.
pub(crate) fn memory() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

pub(crate) fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// Asserts that no more than this has come to what the process had.
pub(crate) fn has_not_grown(before: usize, most: usize, what: &str) {
    let now = memory();
    assert!(now < before + most, "{what}: {} KiB more", now.saturating_sub(before) / 1024);
}
