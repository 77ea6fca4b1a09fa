//! The kubelet: makes the Pods that are bound to this node real, and says so.
//!
//! * [`KubeletConfig`] is all it is told; [`run`] is the whole process, [`main`] reads the configuration from standard input.

mod config;

pub use config::KubeletConfig;

use std::io::Read;
use std::process::ExitCode;

/// Why a kubelet ended.
#[derive(Debug, thiserror::Error)]
pub enum KubeletError {
    /// The configuration cannot be used.
    #[error("{what} of the kubelet's configuration: {error}")]
    Config {
        /// Which part.
        what: &'static str,
        /// What is wrong with it.
        error: String,
    },
}

/// Run until node-init goes away or the process is told to end.
///
/// # Errors
/// When something it needs at the start is missing. What fails later is retried.
#[allow(clippy::unused_async, reason = "signature first")]
pub async fn run(config: KubeletConfig) -> Result<(), KubeletError> {
    drop(config);
    Ok(())
}

/// The process `role:kubelet`: its configuration is JSON on standard input.
pub fn main() -> ExitCode {
    let mut text = String::new();
    let config = std::io::stdin().read_to_string(&mut text).map_err(|error| error.to_string()).and_then(|_| {
        serde_json::from_str::<KubeletConfig>(&text).map_err(|error| error.to_string())
    });
    let result = config.map_err(|error| KubeletError::Config { what: "text", error }).and_then(|config| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| KubeletError::Config { what: "runtime", error: error.to_string() })?;
        runtime.block_on(run(config))
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "the kubelet cannot run");
            ExitCode::FAILURE
        }
    }
}
