//! Words of condition statuses.

/// `True`
pub(crate) const TRUE: &str = "True";
/// `False`
pub(crate) const FALSE: &str = "False";
/// `Unknown`
pub(crate) const UNKNOWN: &str = "Unknown";
