//! Narrows: the AI gateway.
