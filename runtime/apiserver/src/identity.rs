//! Who is asking. An [`Identity`] is made once, at the door, and travels with the request as an extension.

use serde::{Deserialize, Serialize};

/// The group that may do everything.
pub const MASTERS: &str = "system:masters";
/// The group every authenticated caller is in.
pub const AUTHENTICATED: &str = "system:authenticated";
/// The group of callers without credentials.
pub const UNAUTHENTICATED: &str = "system:unauthenticated";
/// The user name of callers without credentials.
pub const ANONYMOUS: &str = "system:anonymous";

/// An authenticated (or anonymous) caller.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The user name.
    pub user: String,
    /// The groups, in the order the credential gave them.
    pub groups: Vec<String>,
    /// The user's unique id where the credential has one (service accounts).
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub uid: String,
}

impl Identity {
    /// A caller with a name and groups; `system:authenticated` is added.
    pub fn new(user: impl Into<String>, groups: &[&str]) -> Identity {
        let mut groups: Vec<String> = groups.iter().map(|&group| group.to_owned()).collect();
        if !groups.iter().any(|group| group == AUTHENTICATED) {
            groups.push(AUTHENTICATED.to_owned());
        }
        Identity { user: user.into(), groups, uid: String::new() }
    }

    /// A caller that may do everything, e.g. a controller inside the control plane.
    pub fn master(user: impl Into<String>) -> Identity {
        Identity::new(user, &[MASTERS])
    }

    /// The service account `namespace/name`.
    pub fn service_account(namespace: &str, name: &str, uid: &str) -> Identity {
        let mut identity = Identity::new(
            format!("system:serviceaccount:{namespace}:{name}"),
            &["system:serviceaccounts", &format!("system:serviceaccounts:{namespace}")],
        );
        uid.clone_into(&mut identity.uid);
        identity
    }

    /// The caller without credentials.
    pub fn anonymous() -> Identity {
        Identity { user: ANONYMOUS.to_owned(), groups: vec![UNAUTHENTICATED.to_owned()], uid: String::new() }
    }

    /// Whether the caller is in `group`.
    pub fn is_in(&self, group: &str) -> bool {
        self.groups.iter().any(|own| own == group)
    }
}
