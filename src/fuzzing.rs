//! What the fuzz targets (`tests/fuzz`) run. No part of the crate's interface: it is there where the crate is built by
//! cargo-fuzz, and in its own tests, which replay the corpus.

pub use crate::manager::fuzzing::message;
pub use crate::unit::machine::fuzzing::machine;

/// Choices, taken from the bytes of an input one after the other. Where those are at their end all choices are 0.
#[derive(Debug)]
pub(crate) struct Source<'a>(&'a [u8]);

impl<'a> Source<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Source(bytes)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next so many bytes, or what is left of them.
    pub fn take(&mut self, most: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(most.min(self.0.len()));
        self.0 = rest;
        taken
    }

    pub fn byte(&mut self) -> u8 {
        self.take(1).first().copied().unwrap_or(0)
    }

    pub fn below(&mut self, limit: u8) -> u8 {
        self.byte() % limit
    }

    pub fn flag(&mut self) -> bool {
        self.byte() % 2 == 1
    }

    pub fn one_of<T: Copy>(&mut self, of: &[T]) -> T {
        of[usize::from(self.byte()) % of.len()]
    }

    /// Mostly a small number; the largest; or any.
    pub fn number(&mut self) -> u64 {
        match self.byte() {
            255 => u64::MAX,
            254 => self.take(8).iter().fold(0, |number, byte| number << 8 | u64::from(*byte)),
            small => small.into(),
        }
    }
}

#[cfg(test)]
mod tests;
