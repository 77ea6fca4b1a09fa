//! Requests of the control plane to the kubelets' own API.

use drydock_apiserver::{Dial, Target};
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use serde_json::Value;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// A connection to a kubelet.
pub(super) async fn connect(dial: &dyn Dial, node: &str, address: &str) -> Result<SendRequest<Full<bytes::Bytes>>, Failure> {
    let stream = dial.dial(Target::Kubelet { node: node.to_owned(), address: address.to_owned(), port: 10250 }).await?;
    let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    Ok(sender)
}

/// Tell a kubelet something.
pub(super) async fn post(dial: &dyn Dial, node: &str, address: &str, path: &str, body: &Value) -> Result<(), Failure> {
    let mut sender = connect(dial, node, address).await?;
    let request = Request::post(path).header("host", node).header("content-type", "application/json");
    let response = sender.send_request(request.body(Full::from(body.to_string()))?).await?;
    if response.status().is_success() {
        return Ok(());
    }
    let code = response.status();
    let said = response.into_body().collect().await?.to_bytes();
    Err(format!("the kubelet answers {code}: {}", String::from_utf8_lossy(&said).trim()).into())
}
