//! What checking a virtual key costs, the load of the snapshot included:
//! `cargo run --release -p narrows-ledger --example verify_speed -- [keys] [folder]`

use narrows_ledger::{Ledger, LedgerOptions, NewKey};
use std::error::Error;
use std::io::Write;
use std::path::PathBuf;

const ROUNDS: u32 = 2_000_000;

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let keys: u32 = args.next().map_or(Ok(200), |text| text.parse())?;
    let folder = args.next().map_or_else(std::env::temp_dir, PathBuf::from);
    let path = folder.join(format!("verify-speed-{}.db", std::process::id()));
    let ledger = Ledger::open(&path, LedgerOptions::default())?;
    let new = NewKey { name: "bench".into(), organization: "acme".into(), ..NewKey::default() };
    let created =
        (0..keys.max(1)).map(|_| ledger.create_key(&new, "bench")).collect::<Result<Vec<_>, _>>()?;

    let start = cpu_ns()?;
    let mut valid = 0_u32;
    for (_, key) in (0..ROUNDS).zip(created.iter().cycle()) {
        valid += u32::from(ledger.keys().verify(std::hint::black_box(key.key.expose()), 0).is_ok());
    }
    let each = (cpu_ns()? - start) / u64::from(ROUNDS);
    drop(ledger);
    std::fs::remove_file(&path)?;
    writeln!(std::io::stdout(), "verify: {} ns CPU each with {keys} keys ({valid} of {ROUNDS} valid)", each)?;
    Ok(())
}

/// CPU time of this thread, as the kernel counts it (Linux only).
fn cpu_ns() -> Result<u64, Box<dyn Error>> {
    let figures = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    Ok(figures.split(' ').next().unwrap_or_default().parse()?)
}
