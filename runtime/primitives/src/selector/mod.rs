//! Label and field selectors: how they are written, what they match, how a mistake reads.

mod field;
mod label;
mod parse;

pub use field::{FieldError, FieldRequirement, FieldSelector};
pub use label::{LabelSelector, Operator, Requirement};
pub use parse::SelectorError;
