//! What a rule may do.

use serde::{Deserialize, Serialize};

/// What happens when a rule matches, weakest first; when several match, the strictest wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Write it down, change nothing.
    Log,
    /// Rewrite the matching ranges.
    Mask,
    /// Refuse.
    Block,
}
