//! Weighted rendezvous hashing: the same key goes to the same target on every replica, without shared state, and a
//! target that comes or goes moves only its own share of the keys.
//!
//! Highest `-weight / ln(u)` wins, with `u` uniform in (0, 1) from key and target: David Thaler and Chinya
//! Ravishankar's highest random weight with Jason Resch's logarithmic weights.

/// A hash that is the same on every machine and in every version of the program: FNV-1a, then mixed.
pub(crate) fn stable_hash(parts: &[&[u8]]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for part in parts {
        for byte in *part {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        // The parts' borders are part of what is hashed.
        hash = (hash ^ 0x1ff).wrapping_mul(0x0000_0100_0000_01b3);
    }
    mix(hash)
}

/// The finalizer of SplitMix64: every bit of the input reaches every bit of the output.
pub(crate) fn mix(mut word: u64) -> u64 {
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

/// The score of a target with this seed and weight for a key; the highest is chosen.
pub(crate) fn score(key: u64, seed: u64, weight: u32) -> f64 {
    // 53 bits fill a double's mantissa; the half keeps it off both ends.
    #[expect(clippy::cast_precision_loss, reason = "53 bits are exact")]
    let uniform = ((mix(key ^ seed) >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
    -f64::from(weight) / uniform.ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEEDS: [&str; 3] = ["openai/gpt-4o", "azure-eu/gpt-4o", "azure-us/gpt-4o"];

    fn chosen(key: u64, weights: &[u32]) -> usize {
        let scores = SEEDS.iter().zip(weights).map(|(name, weight)| {
            if *weight == 0 { -1.0 } else { score(key, stable_hash(&[name.as_bytes()]), *weight) }
        });
        let best = scores.enumerate().reduce(|best, next| if next.1 > best.1 { next } else { best });
        best.unwrap().0
    }

    fn shares(weights: &[u32]) -> Vec<usize> {
        let mut counts = vec![0; weights.len()];
        (0..20_000).for_each(|key| counts[chosen(mix(key), weights)] += 1);
        counts
    }

    #[test]
    fn keys_fall_to_targets_by_their_weights() {
        let counts = shares(&[1, 2, 5]);
        for (count, share) in counts.iter().zip([2_500, 5_000, 12_500]) {
            assert!(count.abs_diff(share) < share / 10, "{counts:?}");
        }
    }

    #[test]
    fn a_target_that_goes_moves_only_its_own_keys() {
        for key in (0..5_000).map(mix) {
            let (before, after) = (chosen(key, &[1, 1, 1]), chosen(key, &[1, 0, 1]));
            assert!(before == 1 || before == after);
        }
    }

    #[test]
    fn more_weight_only_draws_keys_towards_it() {
        for key in (0..5_000).map(mix) {
            let (before, after) = (chosen(key, &[1, 1, 1]), chosen(key, &[1, 3, 1]));
            assert!(after == before || after == 1);
        }
    }

    #[test]
    fn the_hash_is_the_same_for_ever() {
        assert_eq!(stable_hash(&[b"acme", b"session-1"]), stable_hash(&[b"acme", b"session-1"]));
        assert_ne!(stable_hash(&[b"ab", b"c"]), stable_hash(&[b"a", b"bc"]));
        assert_eq!(stable_hash(&[b"narrows"]), 13_714_713_102_415_883_245, "replicas of two versions agree");
    }
}
