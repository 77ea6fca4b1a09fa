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
        let status = |headers: &http::HeaderMap| headers.get("grpc-status").and_then(|code| code.to_str().ok()?.parse::<u32>().ok());
        // An answer without a message has its trailers in the place of headers.
        let early = status(response.headers());
        let body = response.into_body().collect().await.map_err(|error| error.to_string())?;
        let code = early.or_else(|| body.trailers().and_then(status));
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
    if !service.is_empty() {
        message.put_u8(0x0a);
        let mut length = service.len();
        while length > 127 {
            message.put_u8(length as u8 | 0x80);
            length >>= 7;
        }
        message.put_u8(length as u8);
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
        assert_eq!(request(&"a".repeat(300))[..8], [0, 0, 0, 1, 47, 0x0a, 0xac, 2]);
    }

    /// A server whose services are as their names say. The answer to an unknown one has no message.
    async fn serve(listener: tokio::net::TcpListener) {
        while let Ok((stream, _)) = listener.accept().await {
            let service = hyper::service::service_fn(|asked: http::Request<hyper::body::Incoming>| async {
                let asked = asked.into_body().collect().await?.to_bytes();
                let answer = http::Response::builder().header("content-type", "application/grpc");
                let status = match asked.get(7..) {
                    Some(b"well") => 1,
                    Some(b"ill") => 2,
                    _ => return Ok::<_, hyper::Error>(answer.header("grpc-status", "12").body(Full::new(Bytes::new()).boxed()).unwrap()),
                };
                let mut trailers = http::HeaderMap::new();
                trailers.insert("grpc-status", http::HeaderValue::from_static("0"));
                let message = Full::new(Bytes::from(vec![0, 0, 0, 0, 2, 0x08, status]));
                Ok(answer.body(message.with_trailers(async { Some(Ok(trailers)) }).boxed()).unwrap())
            });
            let connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service);
            tokio::spawn(async { connection.await.unwrap_or_default() });
        }
    }

    #[tokio::test]
    async fn a_server_is_asked_and_answers() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = AbortOnDropHandle::new(tokio::spawn(serve(listener)));
        let limit = Duration::from_secs(20);
        for (service, wanted) in [
            ("well", Ok(())),
            ("ill", Err("service unhealthy (responded with \"NOT_SERVING\")")),
            ("other", Err("error: this server does not implement the grpc health protocol (grpc.health.v1.Health)")),
        ] {
            assert_eq!(check("127.0.0.1", port, service, limit).await, wanted.map_err(str::to_owned), "{service}");
        }
        drop(server);
    }
}
