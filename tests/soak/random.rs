//! Random numbers that are the same for the same seed: xorshift64*, as Vigna has it.

pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        // Zero has no successor, and like seeds are to differ at once.
        let mut random = Random(seed.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        random.next();
        random
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// From zero to one less than this.
    pub fn below(&mut self, limit: u64) -> u64 {
        (self.next() >> 32) % limit
    }

    pub fn one_in(&mut self, number: u64) -> bool {
        self.below(number) == 0
    }

    pub fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize]
    }

    /// Another one, which goes its own way.
    pub fn fork(&mut self) -> Self {
        Random::new(self.next())
    }
}
