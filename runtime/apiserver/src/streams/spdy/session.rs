//! The streams of one SPDY connection, seen from the server.
//!
//! A reader task sorts incoming frames to their streams, a writer task encodes outgoing ones (it owns the compressor). Streams the client
//! opens are accepted at once and handed to whoever calls [`Session::accept`]. Dropping the session ends both tasks.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use drydock_primitives::spdy::frame::{Decoder, Encoder, Frame};
use drydock_primitives::spdy::headers::Headers;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::config::Duplex;

const CANCEL: u32 = 5;
const CHUNK: usize = 32 * 1024;

type Inboxes = Arc<Mutex<HashMap<u32, mpsc::Sender<Bytes>>>>;

/// A connection.
pub struct Session {
    streams: mpsc::Receiver<SpdyStream>,
    reader: JoinHandle<()>,
    writer: JoinHandle<()>,
}

/// One stream. Dropping both halves without [`StreamWriter::finish`] resets it.
pub struct SpdyStream {
    /// What the client said it is for.
    pub headers: Headers,
    /// Bytes from the client.
    pub reader: StreamReader,
    /// Bytes to the client.
    pub writer: StreamWriter,
}

/// The client's bytes.
pub struct StreamReader {
    id: u32,
    inbox: mpsc::Receiver<Bytes>,
    outgoing: mpsc::Sender<Frame>,
}

/// Bytes to the client.
pub struct StreamWriter {
    id: u32,
    outgoing: mpsc::Sender<Frame>,
    finished: bool,
}

impl SpdyStream {
    /// The value of a header, by its lower-case name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

impl StreamReader {
    /// The next bytes, `None` after the client's FIN.
    pub async fn read(&mut self) -> Option<Bytes> {
        let bytes = self.inbox.recv().await?;
        let delta = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        // The connection may be gone; then the next read says so.
        if delta > 0 && self.outgoing.send(Frame::WindowUpdate { id: self.id, delta }).await.is_err() {
            return None;
        }
        Some(bytes)
    }
}

impl StreamWriter {
    /// Sends bytes.
    pub async fn write(&mut self, mut bytes: Bytes) -> io::Result<()> {
        while !bytes.is_empty() {
            let part = bytes.split_to(bytes.len().min(CHUNK));
            self.send(Frame::Data { id: self.id, fin: false, bytes: part }).await?;
        }
        Ok(())
    }

    /// Says that nothing more will be sent.
    pub async fn finish(&mut self) -> io::Result<()> {
        if self.finished {
            return Ok(());
        }
        self.finished = true;
        self.send(Frame::Data { id: self.id, fin: true, bytes: Bytes::new() }).await
    }

    async fn send(&self, frame: Frame) -> io::Result<()> {
        self.outgoing.send(frame).await.map_err(|_closed| io::ErrorKind::BrokenPipe.into())
    }
}

impl Drop for StreamWriter {
    fn drop(&mut self) {
        if !self.finished {
            // When the queue is full or the connection gone, its end resets the stream anyway.
            drop(self.outgoing.try_send(Frame::RstStream { id: self.id, status: CANCEL }));
        }
    }
}

impl Session {
    /// Starts serving `connection`.
    pub fn serve(connection: Box<dyn Duplex>) -> Session {
        let (read, write) = tokio::io::split(connection);
        let (outgoing, frames) = mpsc::channel(64);
        let (accepted, streams) = mpsc::channel(16);
        let writer = tokio::spawn(async move {
            if let Err(error) = write_frames(write, frames).await {
                tracing::debug!(%error, "SPDY writer ended");
            }
        });
        let reader = tokio::spawn(read_frames(read, outgoing, accepted));
        Session { streams, reader, writer }
    }

    /// The next stream the client opened, `None` when the connection ended.
    pub async fn accept(&mut self) -> Option<SpdyStream> {
        self.streams.recv().await
    }

    /// Waits until the client closes the connection (it does when all its streams ended), at most `patience`.
    pub async fn drain(mut self, patience: Duration) {
        let rest = async { while self.streams.recv().await.is_some() {} };
        if tokio::time::timeout(patience, rest).await.is_err() {
            tracing::debug!("client did not close its SPDY connection");
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.reader.abort();
        self.writer.abort();
    }
}

async fn write_frames(mut write: WriteHalf<Box<dyn Duplex>>, mut frames: mpsc::Receiver<Frame>) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let mut encoder = Encoder::new()?;
    let mut buffer = BytesMut::new();
    while let Some(frame) = frames.recv().await {
        encoder.encode(&frame, &mut buffer)?;
        while buffer.len() < 4 * CHUNK {
            let Ok(frame) = frames.try_recv() else { break };
            encoder.encode(&frame, &mut buffer)?;
        }
        write.write_all_buf(&mut buffer).await?;
        write.flush().await?;
    }
    write.shutdown().await?;
    Ok(())
}

async fn read_frames(mut read: ReadHalf<Box<dyn Duplex>>, outgoing: mpsc::Sender<Frame>, accepted: mpsc::Sender<SpdyStream>) {
    let inboxes = Inboxes::default();
    let mut decoder = Decoder::default();
    let mut buffer = BytesMut::new();
    loop {
        loop {
            match decoder.decode(&mut buffer) {
                Ok(Some(frame)) => {
                    if handle(frame, &inboxes, &outgoing, &accepted).await.is_err() {
                        return;
                    }
                }
                Ok(None) => break,
                Err(error) => {
                    tracing::debug!(%error, "SPDY connection refused");
                    return;
                }
            }
        }
        match read.read_buf(&mut buffer).await {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) => {
                tracing::debug!(%error, "SPDY connection lost");
                return;
            }
        }
    }
}

/// Nobody listens any more.
struct Gone;

async fn handle(frame: Frame, inboxes: &Inboxes, outgoing: &mpsc::Sender<Frame>, accepted: &mpsc::Sender<SpdyStream>) -> Result<(), Gone> {
    let inbox = |id: u32| inboxes.lock().unwrap_or_else(std::sync::PoisonError::into_inner).get(&id).cloned();
    let forget = |id: u32| drop(inboxes.lock().unwrap_or_else(std::sync::PoisonError::into_inner).remove(&id));
    match frame {
        Frame::SynStream { id, fin, headers } => {
            let (sender, receiver) = mpsc::channel(64);
            if !fin {
                inboxes.lock().unwrap_or_else(std::sync::PoisonError::into_inner).insert(id, sender);
            }
            outgoing.send(Frame::SynReply { id, fin: false, headers: Headers::new() }).await.map_err(|_closed| Gone)?;
            let stream = SpdyStream {
                headers,
                reader: StreamReader { id, inbox: receiver, outgoing: outgoing.clone() },
                writer: StreamWriter { id, outgoing: outgoing.clone(), finished: false },
            };
            accepted.send(stream).await.map_err(|_closed| Gone)?;
        }
        Frame::Data { id, fin, bytes } => {
            if let Some(inbox) = inbox(id)
                && !bytes.is_empty()
                && inbox.send(bytes).await.is_err()
            {
                // Nobody reads this stream any more; what still arrives for it is dropped.
                forget(id);
            }
            if fin {
                forget(id);
            }
        }
        Frame::Headers { id, fin: true, .. } | Frame::RstStream { id, .. } => forget(id),
        Frame::Ping { id } if id % 2 == 1 => outgoing.send(Frame::Ping { id }).await.map_err(|_closed| Gone)?,
        Frame::GoAway { .. } | Frame::Ping { .. } | Frame::Headers { .. } | Frame::SynReply { .. } | Frame::WindowUpdate { .. } | Frame::Ignored { .. } => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn next(read: &mut (impl tokio::io::AsyncRead + Unpin), decoder: &mut Decoder, buffer: &mut BytesMut) -> Frame {
        loop {
            if let Some(frame) = decoder.decode(buffer).unwrap() {
                return frame;
            }
            assert_ne!(read.read_buf(buffer).await.unwrap(), 0, "connection closed");
        }
    }

    #[tokio::test]
    async fn a_stream_is_accepted_echoed_and_finished() {
        let (client, server) = tokio::io::duplex(1 << 16);
        let mut session = Session::serve(Box::new(server));
        let (mut read, mut write) = tokio::io::split(client);
        let (mut encoder, mut decoder, mut buffer) = (Encoder::new().unwrap(), Decoder::default(), BytesMut::new());
        let mut wire = BytesMut::new();
        for frame in [
            Frame::SynStream { id: 1, fin: false, headers: vec![("streamtype".into(), "data".into())] },
            Frame::Data { id: 1, fin: true, bytes: Bytes::from_static(b"hello") },
            Frame::Ping { id: 3 },
        ] {
            encoder.encode(&frame, &mut wire).unwrap();
        }
        write.write_all(&wire).await.unwrap();
        let mut stream = session.accept().await.unwrap();
        assert_eq!(stream.header("streamType"), Some("data"));
        assert_eq!(stream.reader.read().await.unwrap(), "hello");
        assert!(stream.reader.read().await.is_none());
        stream.writer.write(Bytes::from_static(b"world")).await.unwrap();
        stream.writer.finish().await.unwrap();
        let mut got = Vec::new();
        while got.len() < 5 {
            got.push(next(&mut read, &mut decoder, &mut buffer).await);
        }
        assert_eq!(got[0], Frame::SynReply { id: 1, fin: false, headers: vec![] });
        assert!(got.contains(&Frame::Ping { id: 3 }));
        assert!(got.contains(&Frame::WindowUpdate { id: 1, delta: 5 }));
        assert!(got.contains(&Frame::Data { id: 1, fin: false, bytes: Bytes::from_static(b"world") }));
        assert_eq!(got[4], Frame::Data { id: 1, fin: true, bytes: Bytes::new() });
    }
}
