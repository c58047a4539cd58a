//! Where cargo has put the examples.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// An example, of the same profile as this test, as cargo built it from the present sources.
pub fn example(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let example = test.parent().unwrap().with_file_name("examples").join(name);
    // "EXAMPLE: SOURCE SOURCE …", where a space in a path is written "\ ".
    let sources = fs::read_to_string(example.with_extension("d")).unwrap_or_default().replace("\\ ", "\0");
    let is_new = |source: &str| modified(Path::new(&source.replace('\0', " "))) <= modified(&example);
    assert!(
        !sources.is_empty() && sources.split_whitespace().skip(1).all(is_new),
        "{} is missing or older than its sources: run `cargo build --examples`",
        example.display()
    );
    example
}

fn modified(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).and_then(|metadata| metadata.modified()).ok()
}
