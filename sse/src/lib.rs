//! Server-sent event framing: any split, any line ending, no copies.
