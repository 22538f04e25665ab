//! What the gateway tells about itself.

pub(crate) mod log;
pub(crate) mod metrics;
