//! Records for the tests of the public surface.

use narrows_ledger::{Attempt, Detail, Finding, Inspection, Inspections, Record, Used};

#[path = "../../src/sample.rs"]
mod sample;

pub(crate) use sample::record;
