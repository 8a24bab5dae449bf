//! RSA keys of the ROCA generator (CVE-2017-15361): their primes are built from powers of 65537, and so the modulus is
//! such a power modulo every small prime. A sound modulus passes all these tests with probability below 2^-27.

const GENERATOR: u32 = 65_537;
const PRIMES: [u32; 38] = [
    3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97, 101, 103, 107, 109,
    113, 127, 131, 137, 139, 149, 151, 157, 163, 167,
];

/// Whether the big-endian `modulus` has the fingerprint (Nemec and others, "The Return of Coppersmith's Attack", 2017).
pub(super) fn has_fingerprint(modulus: &[u8]) -> bool {
    PRIMES.iter().all(|prime| {
        let residue = modulus.iter().fold(0, |rest, byte| (rest * 256 + u32::from(*byte)) % prime);
        is_power_of_generator(residue, *prime)
    })
}

fn is_power_of_generator(residue: u32, prime: u32) -> bool {
    let mut power = 1;
    for _ in 0..prime {
        if power == residue {
            return true;
        }
        power = power * (GENERATOR % prime) % prime;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::{has_fingerprint, is_power_of_generator};

    #[test]
    fn powers_are_told_from_other_residues() {
        // 65537 mod 11 = 10 = -1, whose powers are 1 and 10 alone.
        let powers: Vec<u32> = (0..11).filter(|residue| is_power_of_generator(*residue, 11)).collect();
        assert_eq!(powers, [1, 10]);
    }

    #[test]
    fn a_power_of_the_generator_has_the_fingerprint_and_its_successor_has_not() {
        assert!(has_fingerprint(&[1, 0, 1]));
        assert!(!has_fingerprint(&[1, 0, 2]));
    }
}
