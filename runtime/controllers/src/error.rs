//! What goes wrong between a controller and the API.

use thiserror::Error;

/// Why a reconcile did not finish. It is tried again, later and later.
#[derive(Debug, Error)]
pub(crate) enum Error {
    /// The API refused or could not be reached.
    #[error(transparent)]
    Kube(#[from] kube::Error),
    /// An object does not have what the API promises.
    #[error("{0}")]
    Object(String),
}

/// The result of a reconcile step.
pub(crate) type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// Somebody wrote in between.
    pub(crate) fn is_conflict(&self) -> bool {
        matches!(self, Self::Kube(error) if has_reason(error, "Conflict"))
    }

    /// The object is gone.
    pub(crate) fn is_not_found(&self) -> bool {
        matches!(self, Self::Kube(error) if has_reason(error, "NotFound"))
    }

    /// The name is taken.
    pub(crate) fn is_already_exists(&self) -> bool {
        matches!(self, Self::Kube(error) if has_reason(error, "AlreadyExists"))
    }

    /// The namespace does not take new objects any more.
    pub(crate) fn is_namespace_terminating(&self) -> bool {
        let Self::Kube(kube::Error::Api(status)) = self else { return false };
        let causes = status.details.iter().flat_map(|details| &details.causes);
        causes.into_iter().any(|cause| cause.reason == "NamespaceTerminating") || status.message.contains("because it is being terminated")
    }

    /// The API's own message, without the client's wrapping.
    pub(crate) fn message(&self) -> String {
        match self {
            Self::Kube(kube::Error::Api(status)) => status.message.clone(),
            other => other.to_string(),
        }
    }
}

fn has_reason(error: &kube::Error, reason: &str) -> bool {
    matches!(error, kube::Error::Api(status) if status.reason == reason)
}

/// A missing object is no error.
pub(crate) fn ignore_not_found<T>(result: kube::Result<T>) -> Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if has_reason(&error, "NotFound") => Ok(None),
        Err(error) => Err(error.into()),
    }
}
