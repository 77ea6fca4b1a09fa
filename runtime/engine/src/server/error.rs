//! Refusals, as the API words them: `{"message":"..."}`.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::runtime::RuntimeError;

/// A refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ApiError {
    status: StatusCode,
    message: String,
}

impl ApiError {
    pub(super) fn new(status: StatusCode, message: impl Into<String>) -> ApiError {
        ApiError { status, message: message.into() }
    }

    pub(super) fn bad(message: impl Into<String>) -> ApiError {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    pub(super) fn no_container(name: &str) -> ApiError {
        Self::new(StatusCode::NOT_FOUND, format!("No such container: {name}"))
    }

    pub(super) fn no_image(name: &str) -> ApiError {
        Self::new(StatusCode::NOT_FOUND, format!("No such image: {name}"))
    }

    pub(super) fn no_route() -> ApiError {
        Self::new(StatusCode::NOT_FOUND, "page not found")
    }

    /// Something Docker can and this engine cannot.
    pub(super) fn not_ours() -> ApiError {
        Self::new(
            StatusCode::NOT_IMPLEMENTED,
            "the engine of a Drydock node shows, stops and removes what Kubernetes runs; containers and images are made by Pods, not here",
        )
    }
}

impl From<RuntimeError> for ApiError {
    fn from(error: RuntimeError) -> Self {
        let status = match &error {
            RuntimeError::NotFound(_) => StatusCode::NOT_FOUND,
            RuntimeError::Conflict(_) => StatusCode::CONFLICT,
            RuntimeError::Failed(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        ApiError::new(status, error.to_string())
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        (self.status, Json(json!({ "message": self.message }))).into_response()
    }
}
