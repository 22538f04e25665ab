//! Token counts of text: exact with OpenAI's vocabularies, estimated with others.
//!
//! Text and a vocabulary's name in, counts out. Knows no requests, prices or providers.

pub mod body;
pub mod calibration;
pub mod counter;
pub mod encoding;
pub mod estimate;
pub mod fuzzing;
pub mod image;
mod ranks;
mod split;

pub use body::{BodyText, measure};
pub use calibration::Calibration;
pub use counter::Counter;
pub use encoding::{Encoder, Encoding};
pub use estimate::{Vocabulary, estimate, prompt_estimate};
