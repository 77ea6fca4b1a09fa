//! How the API server reaches the cluster's network: plain connections from the control plane's own place on the LAN.

use std::io;
use std::sync::Arc;

use drydock_apiserver::{Dial, Duplex, Target};
use futures::FutureExt;
use futures::future::BoxFuture;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Dials kubelets with the API server's client certificate.
pub(super) struct LanDial(pub(super) Arc<rustls::ClientConfig>);

impl Dial for LanDial {
    fn dial(&self, target: Target) -> BoxFuture<'static, io::Result<Box<dyn Duplex>>> {
        let tls = TlsConnector::from(Arc::clone(&self.0));
        async move {
            match target {
                Target::Kubelet { node, address, port } => {
                    let stream = connect(&address, port).await?;
                    let name = ServerName::try_from(node).map_err(io::Error::other)?;
                    Ok(Box::new(tls.connect(name, stream).await?) as Box<dyn Duplex>)
                }
                Target::Tcp { host, port } => Ok(Box::new(connect(&host, port).await?) as Box<dyn Duplex>),
            }
        }
        .boxed()
    }
}

async fn connect(host: &str, port: u16) -> io::Result<TcpStream> {
    let stream = TcpStream::connect((host, port)).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}
