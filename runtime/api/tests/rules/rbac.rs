//! Role, ClusterRole, RoleBinding and ClusterRoleBinding.

use serde_json::{Value, json};

use super::{check_refusals, check_tables, create, update};

fn object(kind: &str, name: &str, fields: &str) -> String {
    format!(
        "{{apiVersion: rbac.authorization.k8s.io/v1, kind: {kind}, metadata: {{name: '{name}'}}, {fields}}}"
    )
}

#[test]
fn refusals_have_upstreams_words() {
    check_refusals(&[
        (
            object("Role", "r", "rules: [{}]"),
            "Role.rbac.authorization.k8s.io \"r\" is invalid: [rules[0].verbs: Required value: verbs must contain at least one value, rules[0].apiGroups: Required value: resource rules must supply at least one api group, rules[0].resources: Required value: resource rules must supply at least one resource]",
        ),
        (
            object("Role", "r", "rules: [{verbs: [get], nonResourceURLs: [/x]}]"),
            "Role.rbac.authorization.k8s.io \"r\" is invalid: rules[0].nonResourceURLs: Invalid value: []string{\"/x\"}: namespaced rules cannot apply to non-resource URLs",
        ),
        (
            object("ClusterRole", "r", "rules: [{verbs: [get], nonResourceURLs: [/x], resources: [pods]}]"),
            "ClusterRole.rbac.authorization.k8s.io \"r\" is invalid: rules[0].nonResourceURLs: Invalid value: []string{\"/x\"}: rules cannot apply to both regular resources and non-resource URLs",
        ),
        (
            object("ClusterRole", "a%b", "aggregationRule: {}"),
            "ClusterRole.rbac.authorization.k8s.io \"a%b\" is invalid: [metadata.name: Invalid value: \"a%b\": may not contain '%', aggregationRule.clusterRoleSelectors: Required value: at least one clusterRoleSelector required if aggregationRule is non-nil]",
        ),
        (
            object("RoleBinding", "b", "roleRef: {kind: Rule, name: '..', apiGroup: x}, subjects: [{kind: User, name: ''}, {kind: Dog, name: rex}]"),
            "RoleBinding.rbac.authorization.k8s.io \"b\" is invalid: [roleRef.apiGroup: Unsupported value: \"x\": supported values: \"rbac.authorization.k8s.io\", roleRef.kind: Unsupported value: \"Rule\": supported values: \"ClusterRole\", \"Role\", roleRef.name: Invalid value: \"..\": may not be '..', subjects[0].name: Required value, subjects[1].kind: Unsupported value: \"Dog\": supported values: \"Group\", \"ServiceAccount\", \"User\"]",
        ),
        (
            object("ClusterRoleBinding", "b", "roleRef: {kind: ClusterRole, name: ''}, subjects: [{kind: ServiceAccount, name: s}]"),
            "ClusterRoleBinding.rbac.authorization.k8s.io \"b\" is invalid: [roleRef.name: Required value, subjects[0].namespace: Required value]",
        ),
    ]);
}

#[test]
fn groups_are_filled_in_and_the_role_stays() {
    let subjects = "subjects: [{kind: User, name: u}, {kind: ServiceAccount, name: s}]";
    let fields = format!("roleRef: {{kind: ClusterRole, name: 'system:x'}}, {subjects}");
    let binding = create(&object("RoleBinding", "system:b", &fields)).unwrap();
    assert_eq!(
        (&binding["roleRef"], &binding["subjects"]),
        (
            &json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "system:x"}),
            &json!([{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "u"}, {"kind": "ServiceAccount", "name": "s"}])
        )
    );
    let refused = update(&binding, |b| b["roleRef"]["name"] = json!("other")).unwrap_err();
    assert_eq!(
        refused.message,
        "RoleBinding.rbac.authorization.k8s.io \"system:b\" is invalid: roleRef: Invalid value: rbac.RoleRef{APIGroup:\"rbac.authorization.k8s.io\", Kind:\"ClusterRole\", Name:\"other\"}: cannot change roleRef"
    );
}

#[test]
fn tables_have_kubectls_columns() {
    let head = |kind: &str| {
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind,
            "metadata": {"name": "x", "creationTimestamp": "2026-01-01T00:00:00Z"},
        })
    };
    let mut binding: Value = head("RoleBinding");
    binding["roleRef"] = json!({"kind": "Role", "name": "r"});
    binding["subjects"] = json!([
        {"kind": "User", "name": "a"}, {"kind": "User", "name": "b"}, {"kind": "Group", "name": "g"},
        {"kind": "ServiceAccount", "name": "s", "namespace": "n"},
    ]);
    check_tables(&[
        (
            head("ClusterRole"),
            &["NAME", "CREATED AT"],
            &["x", "2026-01-01T00:00:00Z"],
        ),
        (
            binding,
            &["NAME", "ROLE", "AGE", "USERS", "GROUPS", "SERVICEACCOUNTS"],
            &["x", "Role/r", "5m", "a, b", "g", "n/s"],
        ),
    ]);
}
