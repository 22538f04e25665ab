//! What Narrows is measured against and with.
//!
//! The binary `bare-pingora` is the yardstick: Pingora's stock proxy service passing bytes through and doing
//! nothing else. `narrows-loadtest compare` starts it beside nginx and Narrows.
