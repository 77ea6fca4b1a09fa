//! The kubelet: makes the Pods that are bound to this node real, and says so.
//!
//! * [`KubeletConfig`] is all it is told; [`run`] is the whole process, [`main`] reads the configuration from standard input.
//! * `boot` starts the parts in order and takes over what a former kubelet left (`adopt`); `node` is what all of them share.
//! * `worker` holds one task per Pod: it knows (`state`), decides (`decide`), acts, and says how things stand (`status`).
//! * `machine` keeps the Node object and its Lease, `server` answers on port 10250, `engine` shows the containers to `docker`.

mod adopt;
mod assemble;
mod backoff;
mod boot;
mod config;
mod decide;
mod engine;
mod environment;
mod eviction;
mod health;
mod hook;
mod informer;
mod log_reader;
mod logs;
mod machine;
mod node;
mod probe;
mod recorder;
mod records;
mod server;
mod settle;
mod state;
mod status;
mod stream;
mod tls;
mod volumes;
mod worker;

pub use boot::run;
pub use config::{API_SERVER_USER, KubeletConfig};
pub(crate) use informer::follow;
pub(crate) use node::Node;

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
    /// Something it needs at the start is missing.
    #[error("{what}: {error}")]
    Start {
        /// What was tried.
        what: String,
        /// What went wrong.
        error: String,
    },
}

/// The process `role:kubelet`: its configuration is JSON on standard input.
pub fn main() -> ExitCode {
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        tracing::debug!("a TLS provider is installed already");
    }
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
