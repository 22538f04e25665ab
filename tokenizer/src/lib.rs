//! Token counts of text: estimates now, exact vocabularies with FinOps.
//!
//! Text and a vocabulary's name in, counts out. Knows no requests, prices or providers.

pub mod body;
pub mod estimate;

pub use body::{BodyText, measure};
pub use estimate::{Vocabulary, estimate, prompt_estimate};
