//! What a segment that was made of others says of them.

use super::unpack::Fault;
use super::varint::{put, take};

/// One of the segments that a segment was made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Part {
    /// Its id.
    pub(crate) id: i64,
    /// How many records it had.
    pub(crate) records: u32,
}

/// Of each, in the order of their ids, the distance from the id before and how many records it had.
pub(crate) fn encode(parts: &[Part]) -> Vec<u8> {
    let (mut out, mut before) = (Vec::new(), 0);
    for part in parts {
        put(&mut out, part.id.wrapping_sub(before).cast_unsigned());
        put(&mut out, u64::from(part.records));
        before = part.id;
    }
    out
}

/// Reverses [`encode`]: growing ids, with as many records as the segment has.
pub(crate) fn decode(mut input: &[u8], records: u32) -> Result<Vec<Part>, Fault> {
    let fault = "what a segment was made of is damaged";
    let (mut parts, mut id, mut left) = (Vec::new(), 0_i64, records);
    while !input.is_empty() {
        let distance = take(&mut input).and_then(|distance| i64::try_from(distance).ok()).ok_or(fault)?;
        let next = id.checked_add(distance).ok_or(fault)?;
        let records = take(&mut input).and_then(|records| u32::try_from(records).ok()).ok_or(fault)?;
        left = left.checked_sub(records).ok_or(fault)?;
        if records == 0 || (next <= id && !parts.is_empty()) {
            return Err(fault);
        }
        id = next;
        parts.push(Part { id, records });
    }
    if left == 0 { Ok(parts) } else { Err(fault) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn parts_come_back_as_they_were(first in 1_i64..1 << 62, steps in prop::collection::vec((1_i64..1 << 40, 1_u32..5_000), 1..50)) {
            let mut id = first;
            let parts: Vec<Part> = steps
                .into_iter()
                .map(|(step, records)| {
                    id += step;
                    Part { id, records }
                })
                .collect();
            let total = parts.iter().map(|part| part.records).sum();
            let body = encode(&parts);
            prop_assert_eq!(decode(&body, total).unwrap(), parts);
            prop_assert!(decode(&body, total + 1).is_err() && decode(&body, total - 1).is_err());
        }

        #[test]
        fn any_bytes_are_read_or_refused(input in prop::collection::vec(any::<u8>(), 0..40), records: u32) {
            if let Ok(parts) = decode(&input, records) {
                prop_assert_eq!(parts.iter().map(|part| part.records).sum::<u32>(), records);
                prop_assert!(parts.is_sorted_by(|one, next| one.id < next.id));
            }
        }
    }
}
