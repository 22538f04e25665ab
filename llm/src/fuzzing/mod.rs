//! Entry points of the fuzz targets, so that the same bodies run as ordinary tests.

pub mod request;
pub mod streams;
