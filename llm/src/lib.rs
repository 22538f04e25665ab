//! What the bytes of model APIs mean: dialects, providers, stream machines.
