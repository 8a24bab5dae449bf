//! Zipf's law: of `count` things the k-th most wanted is wanted in proportion to k^-s.

/// What random numbers are drawn from: SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators,
/// 2014). The same seed gives the same numbers everywhere.
#[derive(Clone, Debug)]
pub struct Random(pub u64);

impl Random {
    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number in [0, 1).
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A number below `count`.
    pub fn below(&mut self, count: usize) -> usize {
        ((u128::from(self.bits()) * count as u128) >> 64) as usize
    }
}

/// Draws places from 0 (the most wanted) on.
#[derive(Clone, Debug)]
pub struct Zipf {
    /// Up to each place, inclusive; the last is 1.
    cumulative: Vec<f64>,
}

impl Zipf {
    pub fn new(count: usize, exponent: f64) -> Self {
        let mut sum = 0.0;
        let mut cumulative: Vec<f64> = (1..=count)
            .map(|rank| {
                sum += (rank as f64).powf(-exponent);
                sum
            })
            .collect();
        cumulative.iter_mut().for_each(|place| *place /= sum);
        Self { cumulative }
    }

    pub fn draw(&self, random: &mut Random) -> usize {
        let wanted = random.unit();
        self.cumulative.partition_point(|place| *place <= wanted).min(self.cumulative.len().saturating_sub(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_wanted_as_often_as_the_law_says() {
        let (zipf, mut random) = (Zipf::new(1_000, 1.1), Random(1));
        let mut counts = vec![0_u32; 1_000];
        (0..200_000).for_each(|_| counts[zipf.draw(&mut random)] += 1);
        let expected = 200_000.0 / (1..=1_000).map(|rank| f64::from(rank).powf(-1.1)).sum::<f64>();
        assert!((f64::from(counts[0]) / expected - 1.0).abs() < 0.05, "{} of {expected}", counts[0]);
        assert!(counts[0] > counts[1] && counts[1] > counts[10] && counts[10] > counts[500]);
        assert!(counts.iter().all(|count| *count > 0));
    }
}
