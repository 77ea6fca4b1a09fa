//! The engine's side: the routes of the API, with or without a version in front.

use std::io;
use std::sync::Arc;

use tokio::net::UnixListener;

use crate::runtime::Runtime;

/// Answer the API on a unix socket for ever.
///
/// # Errors
/// When the socket fails.
pub async fn serve(listener: UnixListener, runtime: Arc<dyn Runtime>) -> io::Result<()> {
    axum::serve(listener, router(runtime)).await
}

fn router(_runtime: Arc<dyn Runtime>) -> axum::Router {
    axum::Router::new()
}
