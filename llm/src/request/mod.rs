//! The request's body: what routing needs to know of it, and edits that touch nothing else.

pub mod affinity;
pub mod edit;
pub mod fault;
pub mod head;
mod scan;
pub mod text;

pub use edit::{Edit, EditFault, Segments, apply, replace_model, request_usage, set_model};
pub use fault::{BodyCause, BodyFault};
pub use head::{BodyHead, BoundMembers, Bounds, Flag, ModelName, StreamOptions, head};
