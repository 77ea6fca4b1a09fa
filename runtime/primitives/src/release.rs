//! Which Kubernetes every part of the cluster says it is.
//!
//! One release for API server, kubelets and probes: real clusters may mix them, a lesson about versions must be able to rely on them.

/// The release we behave like.
pub const KUBERNETES: &str = "v1.32.4";
/// Its minor version, as probes and clients say it.
pub const MINOR: &str = "1.32";
/// What components report: the mark after the plus says who we are, the numbers say what we behave like.
pub const GIT_VERSION: &str = "v1.32.4+drydock";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_name_the_same_release() {
        assert!(KUBERNETES.starts_with(&format!("v{MINOR}.")));
        assert_eq!(GIT_VERSION, format!("{KUBERNETES}+drydock"));
    }
}
