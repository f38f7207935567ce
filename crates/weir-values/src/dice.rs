//! Chance under a seed: the same numbers on every machine and in every version.

/// A stream of numbers that look like chance (SplitMix64, Steele et al. 2014).
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    /// The numbers of `seed`; another `stream` of the same seed gives others.
    pub fn new(seed: u64, stream: u64) -> Self {
        let mut dice = Dice(seed);
        let mixed = dice.roll();
        Dice(mixed ^ stream.wrapping_mul(0xd134_2543_de82_ef95))
    }

    /// The next 64 bits.
    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`, each as likely (Lemire 2019); 0 of a bound of 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        if bound == 0 {
            return 0;
        }
        let uneven = bound.wrapping_neg() % bound;
        loop {
            let wide = u128::from(self.roll()) * u128::from(bound);
            if wide as u64 >= uneven {
                return (wide >> 64) as u64;
            }
        }
    }

    /// A float from 0 up to, but not, 1.
    pub fn unit(&mut self) -> f64 {
        (self.roll() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// Which values of a column of unknown length stay in a sample of fixed size,
/// each as likely (Vitter's algorithm R).
#[derive(Debug, Clone)]
pub struct Reservoir {
    size: usize,
    seen: u64,
    dice: Dice,
}

impl Reservoir {
    /// A sample of at most `size` values.
    pub fn new(size: usize, dice: Dice) -> Self {
        Reservoir {
            size,
            seen: 0,
            dice,
        }
    }

    /// The place that the next value takes in the sample, if it takes one.
    pub fn offer(&mut self) -> Option<usize> {
        let seen = self.seen;
        self.seen += 1;
        if seen < self.size as u64 {
            return Some(seen as usize);
        }
        let place = self.dice.below(self.seen);
        (place < self.size as u64).then_some(place as usize)
    }

    /// Values that were offered.
    pub fn seen(&self) -> u64 {
        self.seen
    }

    /// Whether values were left out.
    pub fn is_partial(&self) -> bool {
        self.seen > self.size as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_numbers_for_ever() {
        let mut dice = Dice(1_234_567);
        assert_eq!(dice.roll(), 6_457_827_717_110_365_317);
        assert_eq!(dice.roll(), 3_203_168_211_198_807_973);
        let mut other = Dice::new(42, 1);
        assert_ne!(other.roll(), Dice::new(42, 0).roll());
        assert!((0..1000).all(|_| other.below(7) < 7 && other.unit() < 1.0));
        assert_eq!(other.below(0), 0);
    }

    #[test]
    fn a_sample_is_even() {
        let mut first = 0;
        for seed in 0..1000 {
            let mut reservoir = Reservoir::new(10, Dice::new(seed, 0));
            let mut sample = [0_u32; 10];
            for value in 0..100 {
                if let Some(place) = reservoir.offer() {
                    sample[place] = value;
                }
            }
            assert!(reservoir.is_partial());
            first += sample.iter().filter(|value| **value < 50).count();
        }
        assert!((4700..5300).contains(&first), "{first}");
    }
}
