//! Records that cannot be kept for a while: requests go on, what waits is bounded, and no sum is lost.

use crate::support::{Ask, CHAT, Gate, MESSAGES, patient, until};
use narrows_ledger::Filter;
use std::fs::File;
use std::io::Read;
use std::process::Command;

/// Exchanges that are made while nothing can be written.
const EXCHANGES: u64 = 300;
/// Records that may wait.
const QUEUE: u64 = 50;

/// Makes the exchanges, of which each has to be answered.
async fn ask_all(gate: &Gate) {
    let mut client = gate.connect().await;
    for number in 0..EXCHANGES {
        let ask = if number % 2 == 0 { Ask::unary(&CHAT) } else { Ask::stream(&MESSAGES) };
        let answer = client.ask(&ask.key(&gate.key).fake("chunks=2")).await;
        assert!(answer.status() == 200 && answer.whole, "{}", answer.text());
        assert!(gate_holds(gate).await <= QUEUE as f64, "the backlog is bounded");
    }
}

/// A counter, which is a whole number.
async fn counter(gate: &Gate, name: &str) -> u64 {
    gate.gauge(name).await.to_string().parse().unwrap()
}

async fn gate_holds(gate: &Gate) -> f64 {
    gate.gauge("narrows_records_queue").await
}

/// Waits until nothing waits any more; every exchange is then a record, or counted as one that is only in the sums.
async fn all_kept(gate: &Gate) -> (u64, u64) {
    until("the backlog to be written", async || (gate_holds(gate).await == 0.0).then_some(())).await;
    let overflowed = counter(gate, "narrows_records_overflowed_total").await;
    let requests = until("the sums to be written", async || {
        let rows = gate.ledger.usage(&Filter::default(), &[]).unwrap();
        let requests: u64 = rows.iter().map(|row| row.sums.requests).sum();
        (requests == EXCHANGES).then_some(requests)
    })
    .await;
    let rows = gate.ledger.usage(&Filter::default(), &[]).unwrap();
    let billed = gate.fake.billed();
    let (input, output) = billed.iter().fold((0, 0), |(i, o), line| (i + line.input, o + line.output));
    assert_eq!(rows.iter().map(|row| row.sums.input).sum::<u64>(), input, "no token is lost");
    assert_eq!(rows.iter().map(|row| row.sums.output).sum::<u64>(), output, "no token is lost");
    let kept = gate.records().await.len() as u64;
    assert_eq!(kept + overflowed, requests, "what is lost is detail, and it is counted");
    (kept, overflowed)
}

#[tokio::test]
async fn a_reader_of_records_that_stops_holds_no_request_up() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    // Open on both sides and never read: it takes 64 KiB, and then nothing.
    let mut pipe = File::options().read(true).write(true).open(&path).unwrap();
    let gate = Gate::plan().top(&format!("records: {{queue: {QUEUE}, json: '{}'}}", path.display())).start();
    ask_all(&gate).await;
    assert!(gate.gauge("narrows_records_overflowed_total").await > 0.0, "the pipe was to be full");
    // Somebody reads again, and everything that waited is written.
    let reader = tokio::task::spawn_blocking(move || {
        let (mut lines, mut buffer) = (0, vec![0; 64 * 1024]);
        loop {
            let read = pipe.read(&mut buffer).unwrap();
            lines += buffer[..read].iter().filter(|byte| **byte == b'\n').count() as u64;
            // The test's own last line, after everything of the gateway's.
            if buffer[..read].ends_with(b"end\n") {
                return lines - 1;
            }
        }
    });
    let (kept, overflowed) = all_kept(&gate).await;
    assert!(overflowed > 0);
    std::fs::write(&path, "end\n").unwrap();
    assert_eq!(patient("the reader", reader).await.unwrap(), kept, "a line for each record that was kept");
    assert_eq!(gate.gauge("narrows_json_records_failed_total").await, 0.0);
}

#[tokio::test]
async fn a_store_that_is_locked_holds_no_request_up() {
    let gate = Gate::plan().top(&format!("records: {{queue: {QUEUE}}}")).start();
    let other = rusqlite::Connection::open(gate.dir.path().join("narrows.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    ask_all(&gate).await;
    assert!(gate.gauge("narrows_records_overflowed_total").await > 0.0, "nothing could be written");
    other.execute_batch("ROLLBACK").unwrap();
    let (kept, overflowed) = all_kept(&gate).await;
    assert!(kept > 0 && overflowed > 0, "{kept} {overflowed}");
    assert_eq!(gate.gauge("narrows_store_failing").await, 0.0, "it has recovered");
}

#[tokio::test]
async fn a_disk_without_room_for_lines_costs_lines_and_no_request() {
    // Every write to this device fails as one to a full disk does.
    let gate = Gate::plan().top(&format!("records: {{queue: {QUEUE}, json: /dev/full}}")).start();
    ask_all(&gate).await;
    let (kept, overflowed) = all_kept(&gate).await;
    assert_eq!(counter(&gate, "narrows_json_records_failed_total").await, kept, "{overflowed} overflowed");
}
