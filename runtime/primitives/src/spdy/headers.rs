//! Header blocks: name/value pairs, zlib-compressed with the protocol's dictionary. One compressor and one decompressor live as long as
//! the connection, because each block continues the stream of the one before.

use std::sync::LazyLock;

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

/// Header names and values, in order.
pub type Headers = Vec<(String, String)>;

/// Why a header block cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum HeaderError {
    /// zlib refused the data.
    #[error("compressed header block: {0}")]
    Zlib(String),
    /// The pairs do not fit their lengths.
    #[error("malformed header block")]
    Malformed,
    /// More than anybody needs.
    #[error("header block of more than {MAX_BLOCK} bytes")]
    TooLong,
}

/// The longest header block accepted, decompressed.
pub const MAX_BLOCK: usize = 256 * 1024;

const WORDS: [&str; 61] = [
    "options", "head", "post", "put", "delete", "trace", "accept", "accept-charset", "accept-encoding", "accept-language",
    "accept-ranges", "age", "allow", "authorization", "cache-control", "connection", "content-base", "content-encoding",
    "content-language", "content-length", "content-location", "content-md5", "content-range", "content-type", "date", "etag", "expect",
    "expires", "from", "host", "if-match", "if-modified-since", "if-none-match", "if-range", "if-unmodified-since", "last-modified",
    "location", "max-forwards", "pragma", "proxy-authenticate", "proxy-authorization", "range", "referer", "retry-after", "server", "te",
    "trailer", "transfer-encoding", "upgrade", "user-agent", "vary", "via", "warning", "www-authenticate", "method", "get", "status",
    "200 OK", "version", "HTTP/1.1", "url",
];

const MORE_WORDS: [&str; 4] = ["public", "set-cookie", "keep-alive", "origin"];

const TAIL: &str = "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505203 Non-Authoritative \
Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized403 Forbidden404 Not Found500 Internal Server Error501 \
Not Implemented503 Service UnavailableJan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, \
GMTchunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,text/javascript,\
publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0.";

/// The dictionary of SPDY/3: length-prefixed words, then text without lengths.
static DICTIONARY: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut dictionary = Vec::with_capacity(1423);
    for word in WORDS.iter().chain(&MORE_WORDS) {
        push_text(&mut dictionary, word);
    }
    dictionary.extend_from_slice(TAIL.as_bytes());
    dictionary
});

fn push_text(block: &mut Vec<u8>, text: &str) {
    block.extend_from_slice(&u32::try_from(text.len()).unwrap_or(u32::MAX).to_be_bytes());
    block.extend_from_slice(text.as_bytes());
}

/// Writes header blocks.
pub struct HeaderWriter {
    zlib: Compress,
}

impl HeaderWriter {
    /// A writer for a new connection.
    pub fn new() -> Result<HeaderWriter, HeaderError> {
        let mut zlib = Compress::new(Compression::default(), true);
        zlib.set_dictionary(&DICTIONARY).map_err(|error| HeaderError::Zlib(error.to_string()))?;
        Ok(HeaderWriter { zlib })
    }

    /// Compresses `headers` into a block.
    pub fn write(&mut self, headers: &[(String, String)]) -> Result<Vec<u8>, HeaderError> {
        let mut plain = Vec::new();
        plain.extend_from_slice(&u32::try_from(headers.len()).unwrap_or(u32::MAX).to_be_bytes());
        for (name, value) in headers {
            push_text(&mut plain, &name.to_ascii_lowercase());
            push_text(&mut plain, value);
        }
        let mut block = Vec::with_capacity(plain.len() + 64);
        let mut taken = 0;
        loop {
            block.reserve(1024);
            let before = self.zlib.total_in();
            let room = block.capacity();
            self.zlib
                .compress_vec(&plain[taken..], &mut block, FlushCompress::Sync)
                .map_err(|error| HeaderError::Zlib(error.to_string()))?;
            taken += usize::try_from(self.zlib.total_in() - before).unwrap_or(usize::MAX);
            if taken >= plain.len() && block.len() < room {
                return Ok(block);
            }
        }
    }
}

/// Reads header blocks.
pub struct HeaderReader {
    zlib: Decompress,
}

impl Default for HeaderReader {
    fn default() -> Self {
        HeaderReader { zlib: Decompress::new(true) }
    }
}

impl HeaderReader {
    /// Decompresses a block.
    pub fn read(&mut self, block: &[u8]) -> Result<Headers, HeaderError> {
        let mut plain = Vec::with_capacity(4096);
        let mut taken = 0;
        loop {
            if plain.len() > MAX_BLOCK {
                return Err(HeaderError::TooLong);
            }
            plain.reserve(4096);
            let room = plain.capacity();
            let before = self.zlib.total_in();
            match self.zlib.decompress_vec(&block[taken..], &mut plain, FlushDecompress::Sync) {
                Ok(Status::StreamEnd) => break,
                Ok(Status::Ok | Status::BufError) => {}
                Err(error) if error.needs_dictionary().is_some() => {
                    taken += usize::try_from(self.zlib.total_in() - before).unwrap_or(usize::MAX);
                    self.zlib.set_dictionary(&DICTIONARY).map_err(|error| HeaderError::Zlib(error.to_string()))?;
                    continue;
                }
                Err(error) => return Err(HeaderError::Zlib(error.to_string())),
            }
            taken += usize::try_from(self.zlib.total_in() - before).unwrap_or(usize::MAX);
            if taken >= block.len() && plain.len() < room {
                break;
            }
        }
        parse(&plain)
    }
}

fn parse(plain: &[u8]) -> Result<Headers, HeaderError> {
    let mut rest = plain;
    let count = take_length(&mut rest)?;
    let mut headers = Headers::new();
    for _ in 0..count {
        let name = take_text(&mut rest)?;
        // Several values of one name are separated by a zero byte.
        for value in take_text(&mut rest)?.split('\0') {
            headers.push((name.clone(), value.to_owned()));
        }
    }
    Ok(headers)
}

fn take_length(rest: &mut &[u8]) -> Result<usize, HeaderError> {
    let (length, after) = rest.split_first_chunk::<4>().ok_or(HeaderError::Malformed)?;
    *rest = after;
    usize::try_from(u32::from_be_bytes(*length)).map_err(|_range| HeaderError::Malformed)
}

fn take_text(rest: &mut &[u8]) -> Result<String, HeaderError> {
    let length = take_length(rest)?;
    let (text, after) = rest.split_at_checked(length).ok_or(HeaderError::Malformed)?;
    *rest = after;
    Ok(String::from_utf8_lossy(text).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn adler32(bytes: &[u8]) -> u32 {
        let (a, b) = bytes.iter().fold((1u32, 0u32), |(a, b), &byte| {
            let a = (a + u32::from(byte)) % 65_521;
            (a, (b + a) % 65_521)
        });
        b << 16 | a
    }

    #[test]
    fn the_dictionary_is_the_protocols() {
        assert_eq!((DICTIONARY.len(), adler32(&DICTIONARY)), (1423, 0xe3c6_a7c2));
    }

    #[test]
    fn blocks_survive_a_round_trip_on_one_connection() {
        let mut writer = HeaderWriter::new().unwrap();
        let mut reader = HeaderReader::default();
        for round in 0..5 {
            let headers: Headers = vec![
                ("streamtype".into(), "data".into()),
                ("port".into(), "80".into()),
                ("requestid".into(), round.to_string()),
                ("long".into(), "x".repeat(round * 5000)),
            ];
            let block = writer.write(&headers).unwrap();
            assert_eq!(reader.read(&block).unwrap(), headers, "round {round}");
        }
        assert!(reader.read(b"garbage").is_err());
    }
}
