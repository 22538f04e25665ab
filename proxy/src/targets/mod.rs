//! Targets of a model: which one is asked, which ones are set aside, and how often a failure is repeated. What knows
//! nothing of providers is here; `snapshot/route.rs` makes the choice.
//!
//! Own rather than Pingora's load balancer (0.9.1), which cannot express it: its weighted selection forgets weights
//! behind the first choice, its weighted hash moves most keys when one weight changes, every candidate is a cloned
//! address with a map of extensions, and a change of membership is a rebuild in a task. What is needed here is a
//! score for a handful of targets, which two replicas compute alike without talking, and that costs no allocation.
//!
//! Health is passive: what hosted providers answer to real requests. They are not probed beside that, because a probe
//! costs tokens and proves little about the model asked for.

pub(crate) mod breaker;
pub(crate) mod budget;
pub(crate) mod health;
pub(crate) mod pins;
pub(crate) mod rendezvous;
