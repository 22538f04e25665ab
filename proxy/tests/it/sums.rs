//! Whatever happens to whom: one record each, and the sums are the bill's.

use crate::support::{Ask, Client, GENERATING, Gate, patient};
use narrows_fake::{Billed, End};
use narrows_meter::Origin;
use narrows_policy::Reason;
use std::collections::HashMap;

/// Exchanges in all, and how many at a time.
const EXCHANGES: u64 = 500;
const AT_ONCE: u64 = 10;

/// SplitMix64: the same mixture in every run.
struct Mix(u64);

impl Mix {
    fn next(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % below
    }

    fn pick<'a, T: ?Sized>(&mut self, of: &[&'a T]) -> &'a T {
        of[usize::try_from(self.next(of.len() as u64)).unwrap()]
    }
}

/// One exchange of any kind, with any fate. The client may leave at any time.
async fn one(address: std::net::SocketAddr, key: String, number: u64) {
    let mut mix = Mix(number);
    let kind = mix.pick(&GENERATING);
    let ask = if mix.next(2) == 0 { Ask::unary(kind) } else { Ask::stream(kind) };
    let fate = mix.pick(&[
        "",
        "",
        "",
        "",
        "reasoning=9",
        "cached=3",
        "burst=1",
        "gap_ms=1",
        "chunked=1",
        "write_bytes=13",
        "fault=gzip",
        "status=429;retry_after=1",
        "status=500",
        "status=529",
        "fault=cut_after:3",
        "fault=reset:2",
        "fault=error_event:4",
        "fault=close_before_head",
        "fault=no_usage",
        "fault=bad_json",
        "fault=html",
        "first_ms=3",
    ]);
    let knobs = format!("chunks={};{fate}", 1 + mix.next(30));
    let ask = ask.key(&key).fake(&knobs);
    let mut client = Client::connect(address).await;
    client.send(&ask.wire()).await;
    if mix.next(5) > 0 {
        client.answer(false).await;
        return;
    }
    // Leaves after as many reads.
    for _ in 0..mix.next(4) {
        if client.fill().await == 0 {
            break;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_hundred_mixed_exchanges_leave_five_hundred_records_that_add_up() {
    let gate = Gate::start();
    let mut running = tokio::task::JoinSet::new();
    for number in 0..EXCHANGES {
        if number >= AT_ONCE {
            running.join_next().await.unwrap().unwrap();
        }
        running.spawn(one(gate.address, gate.key.clone(), number));
    }
    while let Some(ended) = running.join_next().await {
        ended.unwrap();
    }
    // A client that left at once may not have been noticed yet; every request that it sent will be.
    let records = crate::support::until("every exchange to be recorded", async || {
        let records = gate.records().await;
        (records.len() as u64 >= EXCHANGES).then_some(records)
    })
    .await;
    assert_eq!(records.len() as u64, EXCHANGES);
    patient("the bill", gate.fake.wait_billed(|lines| lines.iter().all(|line| line.end != End::Open))).await;

    // A record names the provider's request id, whose end is the number on the bill.
    let billed: HashMap<u64, Billed> = gate.fake.billed().into_iter().map(|line| (line.id, line)).collect();
    let (mut input, mut output, mut bill_input, mut bill_output, mut complete) = (0, 0, 0, 0, 0);
    for record in records
        .iter()
        .filter(|record| record.reason == Reason::Completed && record.origin == Origin::Provider)
    {
        // Gemini names its requests in a header of its own; a stream that passed whole is compared by its sums.
        if let Some(id) = record.provider_request_id.as_deref() {
            let number = u64::from_str_radix(id.trim_start_matches("req_"), 16).unwrap();
            let line = &billed[&number];
            assert_eq!(
                (record.usage.input(), record.usage.output()),
                (Some(line.input), Some(line.output)),
                "{record:?}"
            );
            input += record.usage.input().unwrap();
            output += record.usage.output().unwrap();
            bill_input += line.input;
            bill_output += line.output;
            complete += 1;
        }
    }
    assert!(complete > 100, "{complete} of {EXCHANGES} were complete");
    assert_eq!((input, output), (bill_input, bill_output));
    for record in &records {
        let refused = record.status >= 400;
        assert!(
            !refused || record.usage.is_unknown() || record.reason != Reason::ProviderError,
            "{record:?}"
        );
        assert_ne!(record.reason, Reason::GatewayBug);
        assert!(record.attempts.len() <= 1, "{record:?}");
    }
    let sums = gate.ledger.verify().unwrap();
    assert!(sums.consistent);
    assert!(records.iter().any(|record| record.cost.nano_usd() > Some(0)));
    crate::prices::assert_adds_up(&gate, &records).await;
    for gauge in ["narrows_exchanges_in_flight", "narrows_streams_in_flight", "narrows_buffered_bytes"] {
        assert_eq!(gate.gauge(gauge).await, 0.0, "{gauge}");
    }
    assert_eq!(gate.gauge("narrows_records_overflowed_total").await, 0.0);
}
