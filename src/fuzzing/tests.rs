//! The corpus of the fuzz targets (`tests/fuzz/corpus`), replayed with the compiler that there is, and inputs made of it.

use std::path::Path;

/// Marsaglia's xorshift: the same numbers each time.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit.max(1) as u64) as usize
    }
}

/// Runs the whole corpus of a target, and so many inputs that are a bit of one of it and a bit of another.
fn replay(name: &str, target: fn(&[u8]), mixed: usize) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(name);
    let mut files: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    let inputs: Vec<_> = files.iter().map(|file| std::fs::read(file).unwrap()).collect();
    assert!(inputs.len() >= 20, "{} inputs in {folder:?}", inputs.len());
    inputs.iter().for_each(|input| target(input));
    let mut random = Random(0xf022);
    for _ in 0..mixed {
        let (one, other) = (&inputs[random.below(inputs.len())], &inputs[random.below(inputs.len())]);
        let mut input = one[..random.below(one.len() + 1)].to_vec();
        input.extend(&other[random.below(other.len() + 1)..]);
        for _ in 0..random.below(8) {
            let at = random.below(input.len());
            if let Some(byte) = input.get_mut(at) {
                *byte = random.below(256) as u8;
            }
        }
        target(&input);
    }
}

#[test]
fn events_of_the_corpus_are_survived() {
    replay("machine", super::machine, 20_000);
}

#[test]
fn messages_of_the_corpus_are_survived() {
    replay("message", super::message, 2_000);
}
