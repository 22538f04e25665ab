//! Where the texts of a JSON body stand.
//!
//! [`walk`] goes once over a body, without recursion and without copying, and lists every string that may carry text,
//! wherever it stands, also in members that nobody knows. [`Table`] says which are left alone. [`decode`] undoes escapes,
//! and [`locate`] leads from a place in the decoded text back to the raw bytes, so that what is masked is replaced where
//! it stands and every other byte stays as it is.

mod decode;
mod table;
mod walk;

#[cfg(test)]
mod tests;

pub use decode::{decode, locate};
pub use table::{Entry, Meaning, Place, Says, Table};
pub use walk::{DEPTH_MAX, Malformed, STRINGS_MAX, Spot, TEXT_BYTES_MIN, Text, Unit, Walk, walk};
