//! Which nodes a Pod or a volume may be on, asked with the API's types.

use drydock_primitives::placement::{self, Requirement};
use k8s_openapi::api::core::v1::{Node, NodeSelector, NodeSelectorRequirement, Taint, Toleration};
use kube::ResourceExt;

/// Whether a toleration speaks of a taint.
pub(crate) fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
    let toleration = placement::Toleration {
        key: toleration.key.as_deref().unwrap_or_default(),
        operator: toleration.operator.as_deref().unwrap_or_default(),
        value: toleration.value.as_deref().unwrap_or_default(),
        effect: toleration.effect.as_deref().unwrap_or_default(),
    };
    toleration.tolerates(placement::Taint { key: &taint.key, value: taint.value.as_deref().unwrap_or_default(), effect: &taint.effect })
}

/// Whether a node fulfils one of the terms.
pub(crate) fn selects(selector: &NodeSelector, node: &Node) -> bool {
    fn read(list: Option<&Vec<NodeSelectorRequirement>>) -> impl Iterator<Item = Requirement<'_>> {
        list.into_iter().flatten().map(|one| Requirement { key: &one.key, operator: &one.operator, values: one.values.as_deref().unwrap_or_default() })
    }
    let (labels, name) = (node.labels(), node.name_any());
    let fulfils = |term: &k8s_openapi::api::core::v1::NodeSelectorTerm| {
        placement::matches_term(read(term.match_expressions.as_ref()), read(term.match_fields.as_ref()), &name, |key| labels.get(key).map(String::as_str))
    };
    selector.node_selector_terms.iter().any(fulfils)
}
