//! How many different values there are, by the leading zeros of their hashes
//! (HyperLogLog; Flajolet and others, 2007; the estimator is Ertl's of 2017).

/// Bits of a hash that choose a register.
const BITS: u32 = 14;

const REGISTERS: usize = 1 << BITS;

/// Bits of a hash that are counted.
const REST: usize = (u64::BITS - BITS) as usize;

/// An estimate of how many different values there are.
#[derive(Debug, Clone)]
pub struct Distinct {
    registers: Vec<u8>,
}

impl Default for Distinct {
    fn default() -> Self {
        Distinct {
            registers: vec![0; REGISTERS],
        }
    }
}

impl Distinct {
    /// The standard error, as a share of the estimate.
    pub const ERROR: f64 = 0.0081;

    /// Adds a value by its hash.
    pub fn add(&mut self, hash: u64) {
        // Hashes of tables are quick ones: their bits are mixed once more.
        let mut hash = hash ^ (hash >> 33);
        hash = hash.wrapping_mul(0xff51_afd7_ed55_8ccd);
        hash ^= hash >> 33;
        hash = hash.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
        hash ^= hash >> 33;
        let register = (hash >> REST) as usize;
        let zeros = (hash << BITS | 1 << (BITS - 1)).leading_zeros() + 1;
        self.registers[register] = self.registers[register].max(zeros as u8);
    }

    /// Bytes that it holds.
    pub fn bytes(&self) -> usize {
        self.registers.len()
    }

    /// How many different values there are, about.
    pub fn estimate(&self) -> u64 {
        let mut histogram = [0_u32; REST + 2];
        for register in &self.registers {
            histogram[usize::from(*register)] += 1;
        }
        let all = REGISTERS as f64;
        let mut sum = all * tau((all - f64::from(histogram[REST + 1])) / all);
        for count in histogram[1..=REST].iter().rev() {
            sum = (sum + f64::from(*count)) * 0.5;
        }
        sum += all * sigma(f64::from(histogram[0]) / all);
        (0.5 / std::f64::consts::LN_2 * all * all / sum).round() as u64
    }
}

fn sigma(mut x: f64) -> f64 {
    if x == 1.0 {
        return f64::INFINITY;
    }
    let (mut weight, mut sum) = (1.0, x);
    loop {
        x *= x;
        let before = sum;
        sum += x * weight;
        weight += weight;
        if sum == before {
            return sum;
        }
    }
}

fn tau(mut x: f64) -> f64 {
    if x == 0.0 || x == 1.0 {
        return 0.0;
    }
    let (mut weight, mut sum) = (1.0, 1.0 - x);
    loop {
        x = x.sqrt();
        let before = sum;
        weight *= 0.5;
        sum -= (1.0 - x) * (1.0 - x) * weight;
        if sum == before {
            return sum / 3.0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::hash::BuildHasher;

    #[test]
    fn estimates_are_near() {
        let hasher = hashbrown::DefaultHashBuilder::default();
        for count in [0_u64, 1, 10, 1_000, 30_000, 1_000_000] {
            let mut distinct = Distinct::default();
            for value in 0..count {
                distinct.add(hasher.hash_one(value));
                distinct.add(hasher.hash_one(value));
            }
            let off = distinct.estimate().abs_diff(count) as f64;
            assert!(off <= count as f64 * Distinct::ERROR * 5.0, "{count}");
        }
    }
}
