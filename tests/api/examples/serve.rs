//! Serves the API for trying it by hand: prints a kubeconfig and runs until its standard input closes.
//!
//! `cargo run -p drydock-test-api --example serve`, then `KUBECONFIG=... kubectl ...` elsewhere. There is no kubelet and no controller.

use drydock_test_api::Cluster;
use tokio::io::AsyncReadExt;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    println!("export KUBECONFIG={} HOME={}", cluster.kubectl.kubeconfig.display(), cluster.kubectl.home.display());
    let mut rest = Vec::new();
    tokio::io::stdin().read_to_end(&mut rest).await?;
    Ok(())
}
