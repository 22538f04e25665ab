//! What tests of several files share.

pub(crate) mod cases;
pub(crate) mod forge;
