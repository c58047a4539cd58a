//! What the labels of units are hashed with, some thirty times for each unit: a third of the work of std's.
//!
//! Names that others choose are looked up here, but only those of our own units are inserted; and with what is drawn for
//! each process nobody can tell which of them would meet.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::OnceLock;

/// Makes them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Labels([u64; 2]);

impl Default for Labels {
    fn default() -> Self {
        static DRAWN: OnceLock<[u64; 2]> = OnceLock::new();
        Labels(*DRAWN.get_or_init(|| [0, 1].map(|number| RandomState::new().hash_one(number) | 1)))
    }
}

impl BuildHasher for Labels {
    type Hasher = Label;

    fn build_hasher(&self) -> Label {
        Label { state: self.0[0], factor: self.0[1] }
    }
}

/// Folds eight bytes at a time, each time by a whole product.
#[derive(Debug)]
pub(super) struct Label {
    state: u64,
    factor: u64,
}

impl Label {
    fn fold(&mut self, word: u64) {
        let product = u128::from(self.state ^ word) * u128::from(self.factor);
        self.state = (product as u64) ^ (product >> 64) as u64 ^ self.factor;
    }
}

impl Hasher for Label {
    fn write(&mut self, bytes: &[u8]) {
        let mut words = bytes.chunks_exact(8);
        for word in &mut words {
            self.fold(u64::from_le_bytes(word.try_into().expect("eight bytes")));
        }
        let mut last = [0; 8];
        last[..words.remainder().len()].copy_from_slice(words.remainder());
        self.fold(u64::from_le_bytes(last));
        self.fold(bytes.len() as u64);
    }

    fn write_u8(&mut self, byte: u8) {
        self.state ^= u64::from(byte);
    }

    fn finish(&self) -> u64 {
        self.state
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn labels_differ() {
        let labels = Labels::default();
        let hashes: HashSet<u64> =
            (0..10_000).map(|number| labels.hash_one(format!("a_2d{number}_2eservice"))).collect();
        assert_eq!(hashes.len(), 10_000);
        // A table takes its places from the lowest bits, and tells apart what is there by the highest.
        for shift in [0, 57] {
            let parts: HashSet<u64> = hashes.iter().map(|hash| hash >> shift & 127).collect();
            assert_eq!(parts.len(), 128);
        }
        assert_ne!(labels.hash_one("a"), labels.hash_one("a\0"));
        assert_eq!(labels.hash_one("a"), labels.hash_one(Box::<str>::from("a")));
    }
}
