//! Instruction, allocation and CPU measurements, and the bare Pingora example.
