//! The gRPC health check, by hand: one unary call over HTTP/2, two protobuf messages of one field each.

// upstream: pkg/probe/grpc/grpc.go; the protocol is grpc.health.v1

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio_util::task::AbortOnDropHandle;

use super::probe::connect;

/// Ask `grpc.health.v1.Health/Check`; anything but SERVING is a failure.
pub(super) async fn check(host: &str, port: u16, service: &str, limit: Duration) -> Result<(), String> {
    let asked = async {
        let stream = connect(host, port, limit).await.map_err(|_| timeout_text(host, port, limit))?;
        let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
        let (mut sender, connection) = handshake.map_err(|error| error.to_string())?;
        let _connection = AbortOnDropHandle::new(tokio::spawn(connection));
        let request = http::Request::post(format!("http://{host}:{port}/grpc.health.v1.Health/Check"))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(Full::new(request(service)))
            .map_err(|error| error.to_string())?;
        let response = sender.send_request(request).await.map_err(|error| format!("error: health rpc probe failed: {error}"))?;
        let body = response.into_body().collect().await.map_err(|error| error.to_string())?;
        let code = body.trailers().and_then(|trailers| trailers.get("grpc-status")).and_then(|code| code.to_str().ok()?.parse::<u32>().ok());
        verdict(code.unwrap_or(0), &body.to_bytes())
    };
    tokio::time::timeout(limit, asked).await.unwrap_or_else(|_| Err(timeout_text(host, port, limit)))
}

fn timeout_text(host: &str, port: u16, limit: Duration) -> String {
    format!("timeout: failed to connect service \"{host}:{port}\" within {}: context deadline exceeded", super::backoff::go_duration(limit))
}

/// Five bytes of frame, then field 1 as a string.
fn request(service: &str) -> Bytes {
    let mut message = BytesMut::new();
    if let Ok(length @ 1..=127) = u8::try_from(service.len()) {
        message.put_slice(&[0x0a, length]);
        message.put_slice(service.as_bytes());
    }
    let mut frame = BytesMut::from(&[0][..]);
    frame.put_u32(u32::try_from(message.len()).unwrap_or(0));
    frame.put(message);
    frame.freeze()
}

fn verdict(code: u32, frame: &[u8]) -> Result<(), String> {
    match (code, frame.get(5..).unwrap_or_default()) {
        (0, [0x08, 1]) => Ok(()),
        (0, [0x08, 2]) => Err("service unhealthy (responded with \"NOT_SERVING\")".into()),
        (0, _) => Err("service unhealthy (responded with \"UNKNOWN\")".into()),
        (12, _) => Err("error: this server does not implement the grpc health protocol (grpc.health.v1.Health)".into()),
        (code, _) => Err(format!("error: health rpc probe failed with status {code}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_serving_is_healthy() {
        let frame = |status: u8| vec![0, 0, 0, 0, 2, 0x08, status];
        assert!(verdict(0, &frame(1)).is_ok());
        assert!(verdict(0, &frame(2)).is_err());
        assert!(verdict(0, &[0, 0, 0, 0, 0]).is_err());
        assert!(verdict(12, &[]).unwrap_err().contains("does not implement"));
        assert_eq!(&request("a")[..], [0, 0, 0, 0, 3, 0x0a, 1, b'a']);
    }
}
