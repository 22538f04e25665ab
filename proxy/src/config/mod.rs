//! Configuration: a YAML file in, [`Settings`] or every problem of it out.

mod macros;
pub mod pattern;
pub mod secret;
pub mod settings;
pub mod url;

pub use pattern::Pattern;
pub use secret::Secret;
pub use settings::*;
pub use url::BaseUrl;
