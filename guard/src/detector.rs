//! Detectors: each finds one family of things in a text.
