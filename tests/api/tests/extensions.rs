//! API groups served elsewhere in the process: discovery, identity, bodies, streams and upgrades reach them.

use std::sync::Arc;

use anyhow::{Context, Result};
use drydock_apiserver::body::{self, Body};
use drydock_apiserver::{Extension, Identity};
use drydock_primitives::clock::SystemClock;
use drydock_test_api::{Answer, Cluster, Lines, patiently};
use futures::future::BoxFuture;
use futures::{FutureExt, SinkExt, StreamExt};
use http::{Request, Response, StatusCode, header};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

/// Says what it was asked; `boats?watch=true` streams, `boats/echo` is a WebSocket.
struct Boats;

impl Extension for Boats {
    fn group(&self) -> &str {
        "boats.example.com"
    }

    fn version(&self) -> &str {
        "v1"
    }

    fn resources(&self) -> Vec<Value> {
        vec![json!({"name": "boats", "singularName": "boat", "namespaced": false, "kind": "Boat", "verbs": ["get", "list", "watch"]})]
    }

    fn call(&self, mut request: Request<Body>, identity: Identity) -> BoxFuture<'static, Response<Body>> {
        async move {
            if request.uri().query() == Some("watch=true") {
                let lines = futures::stream::iter([json!({"type": "ADDED", "object": {"metadata": {"name": "a"}}})]);
                return Response::new(body::stream(lines.map(|line| Ok((line.to_string() + "\n").into()))));
            }
            if let Some(key) = request.headers().get(header::SEC_WEBSOCKET_KEY).cloned() {
                let offered = request.headers().get(header::SEC_WEBSOCKET_PROTOCOL).and_then(|value| value.to_str().ok()).unwrap_or_default();
                let protocol = offered.split(',').next().unwrap_or_default().trim().to_owned();
                let connection = hyper::upgrade::on(&mut request);
                tokio::spawn(async move {
                    let Ok(connection) = connection.await else { return };
                    let mut socket = WebSocketStream::from_raw_socket(TokioIo::new(connection), Role::Server, None).await;
                    if let Some(Ok(message)) = socket.next().await {
                        drop(socket.send(message).await);
                    }
                });
                let response = Response::builder().status(StatusCode::SWITCHING_PROTOCOLS).header("connection", "Upgrade").header("upgrade", "websocket");
                let response = response.header("sec-websocket-protocol", protocol).header("sec-websocket-accept", derive_accept_key(key.as_bytes())).body(body::empty());
                return response.unwrap_or_else(|_| Response::new(body::empty()));
            }
            let heard = request.extensions().get::<Identity>().map(|own| own.user.clone());
            Response::new(body::full(json!({"path": request.uri().path(), "user": identity.user, "heard": heard}).to_string()))
        }
        .boxed()
    }
}

#[tokio::test]
async fn an_extension_is_reached_like_an_aggregated_api() -> Result<()> {
    let cluster = Cluster::start_with(SystemClock::shared(), vec![Arc::new(Boats)]).await?;
    let answer = cluster.get("/apis/boats.example.com/v1/boats/a").await?;
    assert_eq!(answer.body, json!({"path": "/apis/boats.example.com/v1/boats/a", "user": "test", "heard": "test"}));
    let stranger = Answer::read(cluster.send_as(None, "GET", "/apis/boats.example.com/v1/boats", &[], "").await?).await?;
    assert_eq!(stranger.code, 403);
    assert_eq!(cluster.get("/apis/boats.example.com/v1").await?.text("/resources/0/kind"), "Boat");
    let mut lines = Lines::of(cluster.send("GET", "/apis/boats.example.com/v1/boats?watch=true", &[], "").await?);
    assert_eq!(lines.event().await?, "ADDED a");
    let listed = cluster.kubectl("api-resources --api-group=boats.example.com").await?.ok()?;
    assert!(listed.contains("boats.example.com/v1") && listed.contains("Boat"), "{listed}");
    Ok(())
}

#[tokio::test]
async fn an_extension_may_upgrade() -> Result<()> {
    let cluster = Cluster::start_with(SystemClock::shared(), vec![Arc::new(Boats)]).await?;
    for client in [cluster.client(), cluster.tls_client().await?] {
        let connection = client.connect(Request::get("/apis/boats.example.com/v1/boats/echo").body(Vec::new())?).await?;
        let mut socket = connection.into_stream();
        socket.send("ahoy".into()).await?;
        let back = patiently("an echo", socket.next()).await?.context("no echo")??;
        assert_eq!(back.into_text()?.as_str(), "ahoy");
    }
    Ok(())
}
