//! Records for the tests of the public surface.

use narrows_ledger::{
    Attempt, ContentState, ContentStates, Detail, Finding, Inspection, Inspections, Record, Used,
};

#[path = "../../src/sample.rs"]
mod sample;

pub(crate) use sample::record;
