//! Shannon entropy.

/// Bits a byte of the distribution of bytes in `text`; 0 for no text.
pub(crate) fn shannon(text: &[u8]) -> f64 {
    let mut counts = [0_u32; 256];
    for byte in text {
        counts[usize::from(*byte)] += 1;
    }
    let total = text.iter().map(|_| 1.0).sum::<f64>();
    counts
        .iter()
        .filter(|count| **count > 0)
        .map(|count| f64::from(*count) / total)
        .map(|p| -p * p.log2())
        .sum()
}

#[cfg(test)]
mod tests {
    use super::shannon;

    #[test]
    fn known_values() {
        assert!(shannon(b"") == 0.0);
        assert!(shannon(b"aaaa") == 0.0);
        assert!((shannon(b"abab") - 1.0).abs() < 1e-12);
        assert!((shannon(b"0123456789abcdef") - 4.0).abs() < 1e-12);
    }
}
