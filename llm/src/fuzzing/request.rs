//! Fuzz targets of the request's side.
