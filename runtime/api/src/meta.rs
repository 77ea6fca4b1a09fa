//! `metadata`: names, labels, annotations, owner references.

use crate::registry::NamePrefix;

/// What is wrong with a DNS subdomain name.
pub fn dns_subdomain_messages(_name: &str, _prefix: NamePrefix) -> Vec<String> {
    Vec::new()
}
