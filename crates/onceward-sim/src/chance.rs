//! Where all chance comes from: one small generator, so that a seed says everything.

/// `SplitMix64` (Steele, Lea, Flood, "Fast Splittable Pseudorandom Number Generators", 2014): one word of state, and every seed is a good one.
#[derive(Clone, Debug)]
pub struct Chance(u64);

impl Chance {
    /// Its numbers for a seed.
    #[must_use]
    pub const fn of(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number, of all that 64 bits have.
    pub const fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`; 0 where that is 0.
    pub const fn below(&mut self, end: u64) -> u64 {
        ((self.draw() as u128 * end as u128) >> 64) as u64
    }

    /// A number from `first` to `last`.
    pub const fn between(&mut self, first: u64, last: u64) -> u64 {
        first + self.below(last.saturating_sub(first) + 1)
    }

    /// `true` so often in a thousand.
    pub const fn per_mille(&mut self, chance: u64) -> bool {
        self.below(1_000) < chance
    }

    /// One of a few values, each as likely as the others.
    #[expect(clippy::indexing_slicing, reason = "a number below the count of values is a place among them")]
    pub fn one_of<T: Copy, const N: usize>(&mut self, values: [T; N]) -> T {
        values[self.below(N as u64) as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::Chance;

    #[test]
    fn a_seed_gives_the_numbers_of_the_published_generator() {
        // The first outputs for the seed 1234567, as the generator's reference implementation (Vigna) gives them.
        let mut chance = Chance::of(1_234_567);
        let drawn = [chance.draw(), chance.draw(), chance.draw()];
        assert_eq!(drawn, [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]);
    }

    #[test]
    fn numbers_stay_within_their_bounds_and_reach_them() {
        let mut chance = Chance::of(1);
        let drawn: Vec<u64> = (0..200).map(|_| chance.between(3, 6)).collect();
        assert_eq!((drawn.iter().min(), drawn.iter().max()), (Some(&3), Some(&6)));
        assert_eq!(chance.below(0), 0);
    }
}
