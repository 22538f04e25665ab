use super::pack::{MEMORY_LIMIT, Packer};
use super::unpack::unpack;
use super::*;
use crate::record::{Attempt, Record};
use crate::rollup::Sums;
use crate::sample;
use proptest::prelude::*;
use std::sync::Arc;

fn pack(records: &[Record]) -> (Packer, Vec<u8>) {
    let mut packer = Packer::new();
    for record in records {
        packer.push(record);
    }
    let body = packer.packed().body;
    (packer, body)
}

#[test]
fn records_read_back_as_they_were() {
    let records: Vec<Record> = (0..200).map(sample::record).collect();
    let (packer, body) = pack(&records);
    assert_eq!(unpack(&body, 200).unwrap(), records);
    let packed = packer.packed();
    assert_eq!(packed.prints.len(), records.len() * PRINT_BYTES);
    let mut sums = Sums::default();
    for (_, _, group) in packed.groups {
        sums.add(group);
    }
    let mut expected = Sums::default();
    for record in &records {
        Sums::split(record).for_each(|(_, sums)| expected.add(&sums));
    }
    assert_eq!(sums, expected);
}

#[test]
fn segments_of_the_formats_before_are_read() {
    let mut record = sample::record(1);
    record.client_address = None;
    record.inspections = crate::Inspections::default();
    record.attempts.iter_mut().for_each(|attempt| attempt.model = None);
    record.usage.web_searches = None;
    record.prices = 0;
    record.mode = None;
    record.also_used = Vec::new();
    record.content = crate::ContentStates::default();
    let (_, mut body) = pack(std::slice::from_ref(&record));
    // They are the same but for the last bytes, which say: no content; ordinary, nothing else used; no prices, no searches; nothing was inspected; no address.
    let read = |body: &[u8]| unpack(body, 1).map(|read| read == std::slice::from_ref(&record));
    assert_eq!((body[0], body.pop()), (FORMAT, Some(0)));
    assert!(read(&body).is_err());
    body[0] = 6;
    assert_eq!(read(&body), Ok(true));
    assert_eq!((body.pop(), body.pop()), (Some(0), Some(0)));
    assert!(read(&body).is_err());
    body[0] = 5;
    assert_eq!(read(&body), Ok(true));
    assert_eq!((body.pop(), body.pop()), (Some(0), Some(0)));
    assert!(read(&body).is_err());
    body[0] = 4;
    assert_eq!(read(&body), Ok(true));
    assert_eq!(body.pop(), Some(0));
    assert!(read(&body).is_err());
    body[0] = 3;
    assert_eq!(read(&body), Ok(true));
    assert_eq!(body.pop(), Some(0));
    assert!(read(&body).is_err());
    for before in [1, 2] {
        body[0] = before;
        assert_eq!(read(&body), Ok(true));
    }
    for unknown in [0, FORMAT + 1] {
        body[0] = unknown;
        assert!(read(&body).is_err());
    }
}

#[test]
fn the_next_segment_stands_alone() {
    let mut packer = Packer::new();
    for round in 0..3 {
        packer.clear();
        let records: Vec<Record> = (round * 10..round * 10 + 10).map(sample::record).collect();
        for record in &records {
            packer.push(record);
        }
        assert_eq!(unpack(&packer.packed().body, 10).unwrap(), records, "round {round}");
    }
}

#[test]
fn equal_callers_at_different_addresses_are_one_group() {
    let one = sample::record(1);
    let mut two = one.clone();
    two.caller = Arc::new((*one.caller).clone());
    let (packer, body) = pack(&[one.clone(), two.clone()]);
    assert_eq!(packer.packed().groups.len(), 1);
    assert_eq!(unpack(&body, 2).unwrap(), [one, two]);
}

#[test]
fn texts_and_attempts_are_cut_at_their_limits() {
    let mut record = sample::record(1);
    let attempt = Attempt { provider: "p".into(), ..record.attempts[0].clone() };
    record.model_requested = Some("m".repeat(TEXT_MAX).into());
    record.conversation = Some("é".repeat(TEXT_MAX / 2).into());
    record.attempts = vec![attempt.clone(); ATTEMPTS_MAX];
    let used = sample::record(7).also_used.remove(0);
    record.also_used = vec![used.clone(); ALSO_USED_MAX];
    let (_, body) = pack(std::slice::from_ref(&record));
    assert_eq!(unpack(&body, 1).unwrap(), [record.clone()], "at the limits nothing is lost");
    let mut longer = record.clone();
    longer.model_requested = Some("m".repeat(TEXT_MAX + 1).into());
    longer.conversation = Some(format!("{}x", "é".repeat(TEXT_MAX / 2)).into());
    longer.attempts.push(attempt);
    longer.also_used.push(used);
    let (_, body) = pack(&[longer]);
    assert_eq!(unpack(&body, 1).unwrap(), [record]);
}

#[test]
fn every_cut_of_a_segment_is_an_error() {
    let records: Vec<Record> = (0..3).map(sample::record).collect();
    let (_, body) = pack(&records);
    for length in 0..body.len() {
        assert!(unpack(&body[..length], 3).is_err(), "cut at {length}");
    }
    assert!(unpack(&body, 2).is_err() && unpack(&body, 4).is_err());
    assert!(unpack(&body, u32::MAX).is_err());
}

#[test]
fn a_full_memory_is_forgotten_and_packing_goes_on() {
    let mut packer = Packer::new();
    let mut record = sample::record(1);
    let words = |packer: &mut Packer, record: &mut Record, range: std::ops::Range<usize>| {
        for number in range {
            record.model_answered = Some(number.to_string().into());
            packer.push(record);
            packer.clear();
        }
    };
    words(&mut packer, &mut record, 0..MEMORY_LIMIT / 2);
    packer.clear_groups();
    assert!(!packer.is_crowded());
    words(&mut packer, &mut record, MEMORY_LIMIT / 2..MEMORY_LIMIT);
    assert!(packer.is_crowded());
    packer.clear_groups();
    assert!(!packer.is_crowded() && packer.packed().groups.is_empty());
    packer.push(&record);
    assert_eq!(unpack(&packer.packed().body, 1).unwrap(), [record]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    #[test]
    fn damage_never_panics(at in 0_usize..400, byte: u8) {
        let records: Vec<Record> = (0..3).map(sample::record).collect();
        let (_, mut body) = pack(&records);
        let at = at % body.len();
        body[at] = byte;
        // Any outcome but a panic is fine: a flipped figure can still be a valid record.
        if let Ok(read) = unpack(&body, 3) {
            prop_assert_eq!(read.len(), 3);
        }
    }
}
