//! What can go wrong with an image, in the words a Kubernetes user knows.

use std::path::PathBuf;

use crate::reference::Reference;

/// A failed pull: a kind for programs, a text for people.
///
/// `Display` is what kubelet shows as the message of the waiting container and behind
/// `Failed to pull image "...": ` in the event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct PullError {
    /// What a program decides on.
    pub kind: PullErrorKind,
    /// The words upstream uses.
    pub message: String,
}

/// The reasons a pull can fail for. Never decide on the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PullErrorKind {
    /// The name is not an image name; no attempt will ever succeed (`InvalidImageName`).
    InvalidName,
    /// The policy is `Never` and the image is not here (`ErrImageNeverPull`).
    NeverPull,
    /// There is no such image (`ErrImagePull`, later `ImagePullBackOff`).
    NotFound,
    /// The image exists, but it could not be made local: no network, disk full (`ErrImagePull`, later `ImagePullBackOff`).
    Failed,
}

impl PullErrorKind {
    /// The reason of the waiting container, as kubelet spells it.
    // upstream: pkg/kubelet/images/types.go
    pub fn reason(self) -> &'static str {
        match self {
            Self::InvalidName => "InvalidImageName",
            Self::NeverPull => "ErrImageNeverPull",
            Self::NotFound | Self::Failed => "ErrImagePull",
        }
    }

    /// True when kubelet tries again with back-off (`ImagePullBackOff` in between).
    pub fn backs_off(self) -> bool {
        matches!(self, Self::NotFound | Self::Failed)
    }
}

impl PullError {
    // upstream: pkg/kubelet/images/image_manager.go applyDefaultImageTag
    pub(crate) fn invalid_name(name: &str, reason: &str) -> Self {
        Self {
            kind: PullErrorKind::InvalidName,
            message: format!(
                "Failed to apply default image tag \"{name}\": couldn't parse image name \"{name}\": {reason}"
            ),
        }
    }

    // upstream: pkg/kubelet/images/image_manager.go imageNotPresentOnNeverPolicyError
    pub(crate) fn never_pull(name: &str) -> Self {
        Self {
            kind: PullErrorKind::NeverPull,
            message: format!("Container image \"{name}\" is not present with pull policy of Never"),
        }
    }

    /// The repository is known, the tag or digest is not (containerd: core/images, remotes/docker/resolver.go).
    pub(crate) fn tag_not_found(reference: &Reference) -> Self {
        Self {
            kind: PullErrorKind::NotFound,
            message: format!(
                "rpc error: code = NotFound desc = failed to pull and unpack image \"{reference}\": failed to resolve reference \"{reference}\": {reference}: not found"
            ),
        }
    }

    /// A registry answers for a repository it does not have, or hides: Docker Hub asks for a login.
    pub(crate) fn repository_not_found(reference: &Reference) -> Self {
        if reference.domain != "docker.io" {
            return Self::tag_not_found(reference);
        }
        Self::denied(reference, "server message: insufficient_scope: authorization failed")
    }

    /// The registry wants somebody else, or hides that it has nothing.
    pub(crate) fn denied(reference: &Reference, why: &str) -> Self {
        Self {
            kind: PullErrorKind::NotFound,
            message: format!(
                "rpc error: code = Unknown desc = failed to pull and unpack image \"{reference}\": failed to resolve reference \"{reference}\": pull access denied, repository does not exist or may require authorization: {why}"
            ),
        }
    }

    /// The registry does not say what the name stands for.
    pub(crate) fn unresolved(reference: &Reference, why: impl std::fmt::Display) -> Self {
        Self::failed(reference, format_args!("failed to resolve reference \"{reference}\": {why}"))
    }

    /// The same, with the hosts that were asked in vain and their reasons: who set up a mirror wants to hear of all of them.
    pub(crate) fn after(self, passed_over: &[String]) -> Self {
        if passed_over.is_empty() {
            return self;
        }
        Self { message: format!("{} (hosts passed over: {})", self.message, passed_over.join("; ")), ..self }
    }

    /// The image is made of packages, and nobody fetched them yet.
    pub(crate) fn not_prefetched(reference: &Reference, books: &[String]) -> Self {
        let book = books.first().map_or("BOOK", String::as_str);
        Self::failed(
            reference,
            format_args!("it is made from the distribution's packages: run \"drydock image prefetch {book}\" (needs a network once)"),
        )
    }

    pub(crate) fn failed(reference: &Reference, why: impl std::fmt::Display) -> Self {
        Self {
            kind: PullErrorKind::Failed,
            message: format!(
                "rpc error: code = Unknown desc = failed to pull and unpack image \"{reference}\": {why}"
            ),
        }
    }
}

/// The store's directories could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A file operation failed.
    #[error("{action} {path}")]
    Io {
        /// What was attempted.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: std::io::Error,
    },
    /// A layer holds something that cannot be unpacked.
    #[error("layer {digest}: {reason}")]
    BadLayer {
        /// The layer's digest.
        digest: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A record of an image cannot be read.
    #[error("image record {path} cannot be read")]
    BadRecord {
        /// The record's file.
        path: PathBuf,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
}

impl StoreError {
    pub(crate) fn io<'a>(
        action: &'static str,
        path: &'a std::path::Path,
    ) -> impl FnOnce(std::io::Error) -> Self + 'a {
        move |source| Self::Io { action, path: path.to_owned(), source }
    }
}

/// The whole chain of causes on one line, for the text of a [`PullError`].
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
