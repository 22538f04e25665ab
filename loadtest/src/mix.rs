//! Chance that can be had again: the same seed gives the same choices on every machine.

/// SplitMix64.
#[derive(Debug, Clone)]
pub struct Mix(u64);

impl Mix {
    /// Choices that belong to a seed and to a number of something done under it.
    pub fn new(seed: u64, number: u64) -> Mix {
        let mut mix = Mix(seed ^ number.wrapping_mul(0xA24B_AED4_963E_E407));
        mix.draw();
        mix
    }

    /// Any number.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number from 0 to `below`, that one not included; 0 if there is none.
    pub fn below(&mut self, below: u64) -> u64 {
        self.draw().checked_rem(below).unwrap_or(0)
    }

    /// A length or an index below `below`; 0 if there is none.
    pub fn index(&mut self, below: usize) -> usize {
        usize::try_from(self.below(below as u64)).unwrap_or(0)
    }

    /// One of `of`, which is not empty.
    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        let index = self.index(of.len());
        &of[index]
    }

    /// Whether something happens that happens so often in a hundred.
    pub fn percent(&mut self, often: u64) -> bool {
        self.below(100) < often
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_and_number_choose_alike_and_others_differ() {
        let draw = |seed, number| {
            let mut mix = Mix::new(seed, number);
            (0..8).map(|_| mix.below(1_000)).collect::<Vec<_>>()
        };
        assert_eq!(draw(7, 1), draw(7, 1));
        assert_ne!(draw(7, 1), draw(7, 2));
        assert_ne!(draw(7, 1), draw(8, 1));
        assert_eq!(Mix::new(1, 1).index(0), 0);
    }
}
