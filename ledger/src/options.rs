//! How a ledger is opened.

use std::path::PathBuf;
use std::time::Duration;

/// Most records that wait for the writer, unless configured otherwise.
pub const QUEUE_LIMIT: usize = 65_536;
/// Most records in one transaction, unless configured otherwise.
pub const BATCH_LIMIT: usize = 4_096;
/// How long the writer gathers before it writes, unless configured otherwise. A crash loses at most what was
/// gathered in this time and the batch being written.
pub const GATHER: Duration = Duration::from_millis(50);
/// Most records of a segment that small ones are joined into, unless configured otherwise.
pub const JOINED_RECORDS: u32 = 1_024;
/// How often changes to keys by other processes are looked for, unless configured otherwise.
pub const KEY_POLL: Duration = Duration::from_millis(250);
/// How long a locked database is waited for.
pub const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Where records also go as JSON lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JsonLines {
    /// To standard output.
    Stdout,
    /// Appended to this file.
    File(PathBuf),
}

/// How a ledger is opened. The default is right for a gateway.
#[derive(Debug, Clone)]
pub struct LedgerOptions {
    /// Most records that wait for the writer; beyond it they are folded into sums. At least 1.
    pub queue_limit: usize,
    /// Most records in one transaction. At least 1.
    pub batch_limit: usize,
    /// How long the writer gathers records before it writes them.
    pub gather: Duration,
    /// Most records of a segment that small ones are joined into later; 0 leaves all as they are.
    pub joined_records: u32,
    /// How often changes to keys by other processes are looked for.
    pub key_poll: Duration,
    /// How long a locked database is waited for, at opening and in key operations.
    pub busy_timeout: Duration,
    /// Whether what was charged is asked for apart from what others were charged who write to the same database. It makes no
    /// difference to a file, which has one writer.
    pub charges_apart: bool,
    /// Where records also go as JSON lines, if anywhere.
    pub json_lines: Option<JsonLines>,
}

impl Default for LedgerOptions {
    fn default() -> Self {
        LedgerOptions {
            queue_limit: QUEUE_LIMIT,
            batch_limit: BATCH_LIMIT,
            gather: GATHER,
            joined_records: JOINED_RECORDS,
            key_poll: KEY_POLL,
            busy_timeout: BUSY_TIMEOUT,
            charges_apart: false,
            json_lines: None,
        }
    }
}
