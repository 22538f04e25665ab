//! Where the texts of a JSON body stand.
//!
//! [`walk`] goes once over a body, without recursion and without copying, and lists every string that may carry text,
//! wherever it stands, also in members that nobody knows. [`Table`] says which are left alone. [`decode`] undoes escapes,
//! and [`locate`] leads from a place in the decoded text back to the raw bytes, so that what is masked is replaced where
//! it stands and every other byte stays as it is.

mod decode;
mod members;
mod recall;
mod table;
mod walk;
mod walker;

#[cfg(test)]
mod tests;

pub use decode::{decode, locate, locate_ranges};
pub use members::values_of;
pub use recall::{Beginning, Recall};
pub use table::{Entry, Meaning, Place, Says, Table};
pub use walk::{DEPTH_MAX, LeftAlone, Malformed, STRINGS_MAX, Spot, Text, Unit, Walk};
pub use walker::{TEXT_BYTES_MIN, walk, walk_new};
