//! The fake provider: every dialect on the wire, paced, with faults.
