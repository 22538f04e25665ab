//! What a vocabulary costs to load, a delta to count, and the worst texts to get through:
//! `cargo bench -p narrows-tokenizer`. Best of several runs; read ratios rather than figures.

use narrows_tokenizer::{Counter, Encoder, Encoding};
use std::hint::black_box;
use std::time::{Duration, Instant};

const RUNS: u32 = 9;

fn best(run: impl FnMut()) -> Duration {
    best_of(RUNS, run)
}

fn best_of(runs: u32, mut run: impl FnMut()) -> Duration {
    (0..runs)
        .map(|_| {
            let begun = Instant::now();
            run();
            begun.elapsed()
        })
        .min()
        .unwrap_or_default()
}

fn nanos_each(time: Duration, number: usize) -> f64 {
    time.as_secs_f64() * 1e9 / number as f64
}

#[expect(clippy::print_stdout, reason = "a report")]
fn deltas(encoder: &'static Encoder, name: &str, deltas: &[&str]) {
    let push = best(|| {
        let mut counter = Counter::new(encoder);
        deltas.iter().for_each(|delta| counter.push(delta.as_bytes()));
        black_box(counter.finish());
    });
    let total = best(|| {
        let mut counter = Counter::new(encoder);
        for delta in deltas {
            counter.push(delta.as_bytes());
            black_box(counter.count());
        }
    });
    let at_once = deltas.concat();
    let whole = best(|| {
        black_box(encoder.count(at_once.as_bytes()));
    });
    println!(
        "  {name:<22} push {:7.1} ns, push and count {:7.1} ns a delta; at once {:6.1} MB/s",
        nanos_each(push, deltas.len()),
        nanos_each(total, deltas.len()),
        at_once.len() as f64 / whole.as_secs_f64() / 1e6,
    );
}

#[expect(clippy::print_stdout, reason = "a report")]
fn worst(encoder: &'static Encoder, name: &str, text: &[u8]) {
    let chunks: Vec<_> = text.chunks(16).collect();
    let push = best_of(2, || {
        let mut counter = Counter::new(encoder);
        chunks.iter().for_each(|chunk| counter.push(chunk));
        black_box(counter.finish());
    });
    let mut totals = Vec::new();
    let mut counter = Counter::new(encoder);
    for chunk in chunks.iter().take(1000) {
        counter.push(chunk);
        let begun = Instant::now();
        black_box(counter.count());
        totals.push(begun.elapsed());
    }
    totals.sort_unstable();
    let median = totals.get(totals.len() / 2).copied().unwrap_or_default();
    let whole = best_of(2, || {
        black_box(encoder.count(text));
    });
    println!(
        "  {name:<22} {:7.1} ms in 16-byte deltas, running total {:6.1} us (median), {:7.1} ms at once",
        push.as_secs_f64() * 1e3,
        median.as_secs_f64() * 1e6,
        whole.as_secs_f64() * 1e3,
    );
}

/// Letters without order, the same each time.
fn letters(number: usize) -> Vec<u8> {
    let mut state = 1u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % 26
    };
    (0..number).map(|_| b'a' + u8::try_from(next()).unwrap_or(0)).collect()
}

const PROSE: &str = "Rivers carry more than water: they move sand, seeds and stories, slowly, and nobody's map of them stays right for \
    long. In 1953 a surveyor wrote that the delta had \"grown by 14.7 km2\"; her successor couldn't find half of it. ";
const CODE: &str = "    let mut total = 0u64;\n    for (index, value) in values.iter().enumerate() {\n        if index % 2 == 0 && \
    value.is_some() {\n            total += self.weights[index] * 100;\n        }\n    }\n    return Ok(total)\n";

/// Deltas of about `bytes` bytes, between characters.
fn cut(text: &str, bytes: usize) -> Vec<&str> {
    let mut rest = text;
    let mut deltas = Vec::new();
    while !rest.is_empty() {
        let end = (bytes..rest.len()).find(|at| rest.is_char_boundary(*at)).unwrap_or(rest.len());
        let (delta, behind) = rest.split_at(end);
        deltas.push(delta);
        rest = behind;
    }
    deltas
}

#[expect(clippy::print_stdout, reason = "a report")]
fn main() {
    for encoding in Encoding::ALL {
        let begun = Instant::now();
        let Some(encoder) = encoding.load() else { continue };
        println!(
            "{}: loaded in {:.1} ms, {:.1} MB",
            encoding.as_str(),
            begun.elapsed().as_secs_f64() * 1e3,
            encoder.memory_bytes() as f64 / 1e6
        );
        let (prose, code) = (PROSE.repeat(200), CODE.repeat(200));
        let cjk = "河流携带的不只是水，还有沙子、种子和故事。".repeat(300);
        deltas(encoder, "prose, 4-byte deltas", &cut(&prose, 4));
        deltas(encoder, "prose, 32-byte deltas", &cut(&prose, 32));
        deltas(encoder, "code, 4-byte deltas", &cut(&code, 4));
        deltas(encoder, "CJK, 3-byte deltas", &cut(&cjk, 3));
        let megabyte = 1 << 20;
        worst(encoder, "1 MiB of a", &vec![b'a'; megabyte]);
        worst(encoder, "1 MiB of blanks", &vec![b' '; megabyte]);
        worst(encoder, "1 MiB of newlines", &vec![b'\n'; megabyte]);
        worst(encoder, "1 MiB of letters", &letters(megabyte));
    }
}
