//! Whether a caller may do what it asks. One trait, so that RBAC can take the place of the fixed policy below.
//!
//! [`FixedPolicy`] knows the roles a fresh cluster needs: masters do everything, the control plane's own accounts too, service accounts
//! and everybody else may look at what `system:discovery` and `system:public-info-viewer` show. Nodes have rules of their own (`nodes`),
//! which are asked first whatever the policy is. upstream: plugin/pkg/auth/authorizer/rbac/bootstrappolicy/policy.go

use crate::identity::{Identity, MASTERS};

/// What is asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attributes {
    /// get, list, watch, create, update, patch, delete, deletecollection, or HTTP's verb in lower case for other paths.
    pub verb: String,
    /// API group.
    pub group: String,
    /// Resource (plural); empty for paths that are no resource.
    pub resource: String,
    /// Subresource or empty.
    pub subresource: String,
    /// Namespace or empty.
    pub namespace: String,
    /// Object name or empty.
    pub name: String,
    /// The path, for paths that are no resource.
    pub path: String,
}

/// A decision and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Yes.
    Allow(String),
    /// No, or not known to be allowed.
    Deny(String),
}

impl Decision {
    /// Whether it is a yes.
    pub fn allowed(&self) -> bool {
        matches!(self, Decision::Allow(_))
    }
}

/// Decides whether a caller may.
pub trait Authorizer: Send + Sync + 'static {
    /// Decides.
    fn authorize(&self, identity: &Identity, attributes: &Attributes) -> Decision;
}

/// The policy of a cluster without RBAC objects.
#[derive(Debug, Clone, Copy, Default)]
pub struct FixedPolicy;

const PUBLIC_PATHS: [&str; 6] = ["/healthz", "/livez", "/readyz", "/version", "/version/", "/openid/v1/jwks"];
const DISCOVERY_PREFIXES: [&str; 5] = ["/api", "/apis", "/openapi", "/.well-known", "/version"];

impl Authorizer for FixedPolicy {
    fn authorize(&self, identity: &Identity, attributes: &Attributes) -> Decision {
        if identity.is_in(MASTERS) {
            return Decision::Allow(String::new());
        }
        if attributes.resource.is_empty() {
            return path_decision(identity, &attributes.path);
        }
        let control_plane = matches!(identity.user.as_str(), "system:kube-scheduler" | "system:kube-controller-manager" | "system:kube-proxy")
            || identity.is_in("system:serviceaccounts:kube-system");
        if control_plane {
            return Decision::Allow("control plane component".to_owned());
        }
        let about_oneself = attributes.verb == "create"
            && ((attributes.group == "authorization.k8s.io"
                && matches!(attributes.resource.as_str(), "selfsubjectaccessreviews" | "selfsubjectrulesreviews"))
                || (attributes.group == "authentication.k8s.io" && attributes.resource == "selfsubjectreviews"));
        if about_oneself && identity.is_in(crate::identity::AUTHENTICATED) {
            return Decision::Allow("RBAC: allowed by ClusterRoleBinding \"system:basic-user\" of ClusterRole \"system:basic-user\" to Group \"system:authenticated\"".to_owned());
        }
        Decision::Deny(String::new())
    }
}

fn path_decision(identity: &Identity, path: &str) -> Decision {
    let public = PUBLIC_PATHS.contains(&path) || ["/healthz/", "/livez/", "/readyz/"].iter().any(|prefix| path.starts_with(prefix));
    let discovery = identity.is_in(crate::identity::AUTHENTICATED)
        && DISCOVERY_PREFIXES.iter().any(|prefix| path == *prefix || path.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('/')));
    if public || discovery { Decision::Allow(String::new()) } else { Decision::Deny(String::new()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_may_what() {
        let attributes = |verb: &str, group: &str, resource: &str, subresource: &str| Attributes {
            verb: verb.into(),
            group: group.into(),
            resource: resource.into(),
            subresource: subresource.into(),
            ..Attributes::default()
        };
        let account = Identity::service_account("default", "default", "");
        let cases = [
            (Identity::master("learner"), attributes("delete", "", "nodes", ""), true),
            (account.clone(), attributes("list", "", "pods", ""), false),
            (account, attributes("create", "authorization.k8s.io", "selfsubjectaccessreviews", ""), true),
            (Identity::anonymous(), Attributes { verb: "get".into(), path: "/version".into(), ..Attributes::default() }, true),
            (Identity::anonymous(), Attributes { verb: "get".into(), path: "/api".into(), ..Attributes::default() }, false),
        ];
        for (identity, attributes, allowed) in cases {
            assert_eq!(FixedPolicy.authorize(&identity, &attributes).allowed(), allowed, "{} {attributes:?}", identity.user);
        }
    }
}
