//! SPDY/3.1, as much of it as kubectl's streams use, written out by hand: bytes to frames and back.
//!
//! The API server and our kubectl are the two ends of it. [`frame`] turns bytes into frames and back, [`headers`] compresses header blocks;
//! which streams there are is each end's own business.

pub mod frame;
pub mod headers;
