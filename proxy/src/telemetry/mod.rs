//! What the gateway tells about itself.

pub(crate) mod metrics;
