//! Load generator and side-by-side comparison for any gateway.
