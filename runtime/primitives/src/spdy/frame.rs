//! Frames: an eight-byte head (control bit, version and type or stream id, flags, length) and a payload.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::headers::{HeaderError, HeaderReader, HeaderWriter, Headers};

const VERSION: u16 = 3;
const FLAG_FIN: u8 = 1;
/// The longest frame accepted: client-go writes at most 64 KiB at a time, browsers of frames more.
const MAX_LENGTH: usize = 4 * 1024 * 1024;

/// One frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// Opens a stream.
    SynStream {
        /// Stream id: odd ones are the client's.
        id: u32,
        /// Whether the opener will send nothing.
        fin: bool,
        /// What it is for.
        headers: Headers,
    },
    /// Accepts a stream.
    SynReply {
        /// Stream id.
        id: u32,
        /// Whether the replier will send nothing.
        fin: bool,
        /// Usually empty.
        headers: Headers,
    },
    /// Ends a stream in both directions.
    RstStream {
        /// Stream id.
        id: u32,
        /// Why; 5 is CANCEL.
        status: u32,
    },
    /// Asks for the same frame back.
    Ping {
        /// Odd ids are the client's.
        id: u32,
    },
    /// No more streams, please.
    GoAway {
        /// The last stream that was handled.
        last: u32,
        /// Why; 0 is OK.
        status: u32,
    },
    /// More headers for a stream.
    Headers {
        /// Stream id.
        id: u32,
        /// Whether the sender will send no more.
        fin: bool,
        /// The headers.
        headers: Headers,
    },
    /// More room to send.
    WindowUpdate {
        /// Stream id.
        id: u32,
        /// How many bytes more.
        delta: u32,
    },
    /// Payload of a stream.
    Data {
        /// Stream id.
        id: u32,
        /// Whether the sender will send no more.
        fin: bool,
        /// The bytes.
        bytes: Bytes,
    },
    /// A frame this side has no use for (SETTINGS and unknown types).
    Ignored {
        /// Its type.
        kind: u16,
    },
}

/// Why bytes are no frame.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// Another protocol or version.
    #[error("SPDY version {0} instead of 3")]
    Version(u16),
    /// A payload too short for its type.
    #[error("SPDY frame of type {0} is too short")]
    Short(u16),
    /// A payload longer than anybody sends.
    #[error("SPDY frame of {0} bytes")]
    Long(usize),
    /// A header block that cannot be read.
    #[error(transparent)]
    Headers(#[from] HeaderError),
}

/// Turns bytes into frames.
#[derive(Default)]
pub struct Decoder {
    headers: HeaderReader,
}

impl Decoder {
    /// Takes one frame from the front of `buffer`, or `None` when it is not complete yet.
    pub fn decode(&mut self, buffer: &mut BytesMut) -> Result<Option<Frame>, FrameError> {
        if buffer.len() < 8 {
            return Ok(None);
        }
        let length = usize::from(buffer[5]) << 16 | usize::from(buffer[6]) << 8 | usize::from(buffer[7]);
        if length > MAX_LENGTH {
            return Err(FrameError::Long(length));
        }
        if buffer.len() < 8 + length {
            return Ok(None);
        }
        let word = buffer.get_u32();
        let flags = buffer.get_u8();
        buffer.advance(3);
        let mut payload = buffer.split_to(length).freeze();
        let fin = flags & FLAG_FIN != 0;
        if word & 0x8000_0000 == 0 {
            return Ok(Some(Frame::Data { id: word, fin, bytes: payload }));
        }
        let version = u16::try_from(word >> 16 & 0x7fff).unwrap_or_default();
        let kind = u16::try_from(word & 0xffff).unwrap_or_default();
        if version != VERSION {
            return Err(FrameError::Version(version));
        }
        let number = |payload: &mut Bytes| if payload.len() < 4 { Err(FrameError::Short(kind)) } else { Ok(payload.get_u32() & 0x7fff_ffff) };
        Ok(Some(match kind {
            1 => {
                let id = number(&mut payload)?;
                number(&mut payload)?;
                if payload.len() < 2 {
                    return Err(FrameError::Short(kind));
                }
                payload.advance(2);
                Frame::SynStream { id, fin, headers: self.headers.read(&payload)? }
            }
            2 => Frame::SynReply { id: number(&mut payload)?, fin, headers: self.headers.read(&payload)? },
            3 => Frame::RstStream { id: number(&mut payload)?, status: number(&mut payload)? },
            6 => Frame::Ping { id: number(&mut payload)? },
            7 => Frame::GoAway { last: number(&mut payload)?, status: number(&mut payload)? },
            8 => Frame::Headers { id: number(&mut payload)?, fin, headers: self.headers.read(&payload)? },
            9 => Frame::WindowUpdate { id: number(&mut payload)?, delta: number(&mut payload)? },
            kind => Frame::Ignored { kind },
        }))
    }
}

/// Turns frames into bytes.
pub struct Encoder {
    headers: HeaderWriter,
}

impl Encoder {
    /// An encoder for a new connection.
    pub fn new() -> Result<Encoder, FrameError> {
        Ok(Encoder { headers: HeaderWriter::new()? })
    }

    /// Appends `frame` to `buffer`.
    pub fn encode(&mut self, frame: &Frame, buffer: &mut BytesMut) -> Result<(), FrameError> {
        match frame {
            Frame::SynStream { id, fin, headers } => {
                let block = self.headers.write(headers)?;
                control(buffer, 1, *fin, 10 + block.len());
                buffer.put_u32(*id);
                buffer.put_u32(0);
                buffer.put_u16(0);
                buffer.put_slice(&block);
            }
            Frame::SynReply { id, fin, headers } => self.with_headers(buffer, 2, *id, *fin, headers)?,
            Frame::Headers { id, fin, headers } => self.with_headers(buffer, 8, *id, *fin, headers)?,
            Frame::RstStream { id, status } => two(buffer, 3, *id, *status),
            Frame::GoAway { last, status } => two(buffer, 7, *last, *status),
            Frame::WindowUpdate { id, delta } => two(buffer, 9, *id, *delta),
            Frame::Ping { id } => {
                control(buffer, 6, false, 4);
                buffer.put_u32(*id);
            }
            Frame::Data { id, fin, bytes } => {
                buffer.put_u32(*id);
                buffer.put_u8(if *fin { FLAG_FIN } else { 0 });
                put_length(buffer, bytes.len());
                buffer.put_slice(bytes);
            }
            Frame::Ignored { .. } => {}
        }
        Ok(())
    }

    fn with_headers(&mut self, buffer: &mut BytesMut, kind: u16, id: u32, fin: bool, headers: &Headers) -> Result<(), FrameError> {
        let block = self.headers.write(headers)?;
        control(buffer, kind, fin, 4 + block.len());
        buffer.put_u32(id);
        buffer.put_slice(&block);
        Ok(())
    }
}

fn two(buffer: &mut BytesMut, kind: u16, first: u32, second: u32) {
    control(buffer, kind, false, 8);
    buffer.put_u32(first);
    buffer.put_u32(second);
}

fn control(buffer: &mut BytesMut, kind: u16, fin: bool, length: usize) {
    buffer.put_u16(0x8000 | VERSION);
    buffer.put_u16(kind);
    buffer.put_u8(if fin { FLAG_FIN } else { 0 });
    put_length(buffer, length);
}

fn put_length(buffer: &mut BytesMut, length: usize) {
    let length = u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes();
    buffer.put_slice(&length[1..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_survive_a_round_trip_in_any_slices() {
        let headers: Headers = vec![("streamtype".into(), "error".into())];
        let frames = [
            Frame::SynStream { id: 1, fin: false, headers: headers.clone() },
            Frame::SynReply { id: 1, fin: false, headers: vec![] },
            Frame::Data { id: 1, fin: false, bytes: Bytes::from_static(b"hello") },
            Frame::WindowUpdate { id: 1, delta: 5 },
            Frame::Ping { id: 7 },
            Frame::Headers { id: 1, fin: false, headers },
            Frame::Data { id: 1, fin: true, bytes: Bytes::new() },
            Frame::RstStream { id: 1, status: 5 },
            Frame::GoAway { last: 1, status: 0 },
        ];
        let mut encoder = Encoder::new().unwrap();
        let mut wire = BytesMut::new();
        for frame in &frames {
            encoder.encode(frame, &mut wire).unwrap();
        }
        for slice in [1, 3, 1000] {
            let mut decoder = Decoder::default();
            let mut buffer = BytesMut::new();
            let mut got = Vec::new();
            for chunk in wire.chunks(slice) {
                buffer.extend_from_slice(chunk);
                while let Some(frame) = decoder.decode(&mut buffer).unwrap() {
                    got.push(frame);
                }
            }
            assert_eq!(got, frames, "slices of {slice}");
        }
    }

    #[test]
    fn any_bytes_are_frames_or_refused() {
        use rand::{Rng, SeedableRng};
        let mut random = rand::rngs::StdRng::seed_from_u64(4747);
        for round in 0..20_000 {
            let mut bytes = vec![0x80, 3, 0, random.random_range(0..10), random.random_range(0..2), 0, 0, random.random_range(0..64)];
            bytes.extend((0..random.random_range(0..80)).map(|_| random.random::<u8>()));
            let mut buffer = BytesMut::from(&bytes[random.random_range(0..2) * (round % 3)..]);
            let mut decoder = Decoder::default();
            while let Ok(Some(_)) = decoder.decode(&mut buffer) {}
        }
    }

    #[test]
    fn what_is_not_spdy_is_refused() {
        let mut http = BytesMut::from(&b"\x80\x02\x00\x01\x00\x00\x00\x00"[..]);
        assert!(matches!(Decoder::default().decode(&mut http), Err(FrameError::Version(2))));
        let mut short = BytesMut::from(&b"\x80\x03\x00\x06\x00\x00\x00\x01\x00"[..]);
        assert!(matches!(Decoder::default().decode(&mut short), Err(FrameError::Short(6))));
    }
}
