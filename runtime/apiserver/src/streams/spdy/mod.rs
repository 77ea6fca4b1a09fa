//! The server's end of SPDY/3.1, as much of it as kubectl's streams use.
//!
//! kubectl multiplexes the streams of exec and port-forward over SPDY: directly after an `Upgrade: SPDY/3.1` (older clients) or inside the
//! binary messages of a WebSocket (`SPDY/3.1+portforward.k8s.io`, kubectl 1.31 and later). Frames are those of `drydock_primitives::spdy`,
//! [`session`] keeps the streams of one connection.
//!
//! Flow control is honored as receivers must (WINDOW_UPDATE for what was read) but not enforced on what is sent: the Go library on the other
//! side never opens its window. The connection beneath provides the back pressure.

pub mod session;
