//! Fuzz targets of the answer's side.
