//! Which nodes something may be on: node selector terms, taints and tolerations.
//!
//! Scheduler, DaemonSets, taint eviction and volumes ask the same questions of their own types; here are the answers.

/// One requirement of a node selector term.
#[derive(Clone, Copy, Debug)]
pub struct Requirement<'a> {
    /// A label, or the field `metadata.name`.
    pub key: &'a str,
    /// `In`, `NotIn`, `Exists`, `DoesNotExist`, `Gt` or `Lt`.
    pub operator: &'a str,
    /// What the operator compares with.
    pub values: &'a [String],
}

impl Requirement<'_> {
    /// Whether a value, possibly none, fulfils it.
    // upstream: component-helpers/scheduling/corev1/nodeaffinity/nodeaffinity.go
    pub fn matches(&self, value: Option<&str>) -> bool {
        let listed = value.is_some_and(|value| self.values.iter().any(|one| one == value));
        let numbers = || Some((value?.parse::<i64>().ok()?, self.values.first()?.parse::<i64>().ok()?));
        match self.operator {
            "In" => listed,
            "NotIn" => !listed,
            "Exists" => value.is_some(),
            "DoesNotExist" => value.is_none(),
            "Gt" => numbers().is_some_and(|(own, bound)| own > bound),
            "Lt" => numbers().is_some_and(|(own, bound)| own < bound),
            _ => false,
        }
    }
}

/// Whether a node with this name and these labels fulfils a term; an empty term is fulfilled by none.
pub fn matches_term<'a, 'b>(
    expressions: impl IntoIterator<Item = Requirement<'a>>,
    fields: impl IntoIterator<Item = Requirement<'a>>,
    name: &str,
    label: impl Fn(&str) -> Option<&'b str>,
) -> bool {
    let mut any = false;
    let labels = expressions.into_iter().all(|requirement| {
        any = true;
        requirement.matches(label(requirement.key))
    });
    let named = fields.into_iter().all(|requirement| {
        any = true;
        requirement.key == "metadata.name" && requirement.matches(Some(name))
    });
    any && labels && named
}

/// A taint of a node.
#[derive(Clone, Copy, Debug)]
pub struct Taint<'a> {
    /// Its key.
    pub key: &'a str,
    /// Its value, possibly empty.
    pub value: &'a str,
    /// `NoSchedule`, `PreferNoSchedule` or `NoExecute`.
    pub effect: &'a str,
}

/// What a Pod does not mind; empty texts stand for anything.
#[derive(Clone, Copy, Debug)]
pub struct Toleration<'a> {
    /// The taint's key.
    pub key: &'a str,
    /// `Equal` (or empty) or `Exists`.
    pub operator: &'a str,
    /// The taint's value, for `Equal`.
    pub value: &'a str,
    /// The taint's effect.
    pub effect: &'a str,
}

impl Toleration<'_> {
    /// Whether it speaks of a taint.
    // upstream: component-helpers/scheduling/corev1/helpers.go Toleration.ToleratesTaint
    pub fn tolerates(&self, taint: Taint<'_>) -> bool {
        let fits = |own: &str, other: &str| own.is_empty() || own == other;
        let value = match self.operator {
            "" | "Equal" => self.value == taint.value,
            operator => operator == "Exists",
        };
        fits(self.effect, taint.effect) && fits(self.key, taint.key) && value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_are_fulfilled_as_upstream_does() {
        let values = |list: &[&str]| list.iter().map(|value| (*value).to_owned()).collect::<Vec<_>>();
        let label = |key: &str| match key {
            "disk" => Some("ssd"),
            "cores" => Some("8"),
            _ => None,
        };
        for (key, operator, list, expected) in [
            ("disk", "In", &["hdd", "ssd"][..], true),
            ("disk", "In", &["hdd"], false),
            ("disk", "NotIn", &["hdd"], true),
            ("absent", "NotIn", &["hdd"], true),
            ("disk", "Exists", &[], true),
            ("disk", "DoesNotExist", &[], false),
            ("cores", "Gt", &["4"], true),
            ("cores", "Lt", &["4"], false),
            ("disk", "Gt", &["4"], false),
            ("disk", "Like", &["ssd"], false),
        ] {
            let values = values(list);
            let requirement = Requirement { key, operator, values: &values };
            assert_eq!(matches_term([requirement], [], "n", label), expected, "{key} {operator} {list:?}");
        }
        assert!(!matches_term([], [], "n", label), "an empty term");
        let names = values(&["n"]);
        let named = Requirement { key: "metadata.name", operator: "In", values: &names };
        assert!(matches_term([], [named], "n", label) && !matches_term([], [named], "m", label));
    }

    #[test]
    fn tolerations_speak_of_taints() {
        let taint = Taint { key: "disk", value: "hdd", effect: "NoSchedule" };
        for (key, operator, value, effect, expected) in [
            ("disk", "", "hdd", "", true),
            ("disk", "Equal", "ssd", "", false),
            ("disk", "Exists", "", "NoSchedule", true),
            ("disk", "Exists", "", "NoExecute", false),
            ("", "Exists", "", "", true),
            ("cpu", "Exists", "", "", false),
            ("disk", "Gt", "hdd", "", false),
        ] {
            assert_eq!(Toleration { key, operator, value, effect }.tolerates(taint), expected, "{key} {operator} {value} {effect}");
        }
    }
}
