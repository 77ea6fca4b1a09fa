//! The order of a list that was merged from two.

use serde_json::Value;

/// Interleaves items only the server has with items a writer put into an order: each keeps its own order, and where both are in the
/// server's list, that one decides.
// upstream: apimachinery/pkg/util/strategicpatch/patch.go mergeSortedSlice
pub(crate) fn interleave(
    server_only: Vec<Value>,
    ordered: Vec<Value>,
    place: impl Fn(&Value) -> Option<usize>,
) -> Vec<Value> {
    let mut out = Vec::with_capacity(server_only.len() + ordered.len());
    let (mut left, mut right) = (
        server_only.into_iter().peekable(),
        ordered.into_iter().peekable(),
    );
    loop {
        let take_left = match (left.peek(), right.peek()) {
            (None, None) => return out,
            (Some(_), None) => true,
            (None, Some(_)) => false,
            (Some(l), Some(r)) => matches!((place(l), place(r)), (Some(l), Some(r)) if l < r),
        };
        out.extend(if take_left { left.next() } else { right.next() });
    }
}
