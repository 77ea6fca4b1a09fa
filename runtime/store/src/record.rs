//! Records: what the journal's bytes mean.
//!
//! A record is `length: u32, crc32: u32, payload`, all numbers little-endian; the checksum covers the payload. The first byte of a payload is its kind.

use std::sync::Arc;

use bytes::{Buf, Bytes};
use jiff::Timestamp;

use crate::event::Revision;

/// Length and checksum.
pub(crate) const FRAME: usize = 8;
/// No single record may be larger; a length beyond it is damage.
pub(crate) const MAX_PAYLOAD: usize = 256 << 20;

const TXN: u8 = 1;
const ENTRY: u8 = 2;
const SNAPSHOT_END: u8 = 3;
const BASE: u8 = 4;
const GONE: u8 = 5;
const PIN: u8 = 6;
const UNPIN: u8 = 7;
const SKIP: u8 = 8;
const VOLATILE: u8 = 9;

/// One record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Record {
    /// A transaction.
    Txn(TxnRecord),
    /// What follows replaces all that was read before.
    Base,
    /// One key of the snapshot that is being built up.
    Entry { key: Arc<str>, revision: Revision, create_revision: Revision, bytes: Bytes },
    /// A key of the pin before is not in what is being built up.
    Gone { key: Arc<str> },
    /// The snapshot is complete and shows the state at `revision`.
    SnapshotEnd { revision: Revision, count: u64 },
    /// The state so far has a name.
    Pin(PinRecord),
    /// It has no longer.
    Unpin { name: Arc<str> },
    /// Transactions up to `revision` are forgotten.
    Skip { revision: Revision },
}

/// A name for a state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PinRecord {
    pub(crate) name: Arc<str>,
    pub(crate) revision: Revision,
    pub(crate) time: Timestamp,
    pub(crate) note: Bytes,
}

/// A committed transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TxnRecord {
    pub(crate) revision: Revision,
    pub(crate) time: Timestamp,
    pub(crate) actor: Arc<str>,
    pub(crate) cause: Arc<str>,
    /// It tells of the present only: nobody will ask for it later.
    pub(crate) volatile: bool,
    /// Keys and new values; none deletes.
    pub(crate) changes: Vec<(Arc<str>, Option<Bytes>)>,
}

impl Record {
    /// Appends the framed record to `buffer`.
    pub(crate) fn encode(&self, buffer: &mut Vec<u8>) {
        let start = buffer.len();
        buffer.extend_from_slice(&[0; FRAME]);
        match self {
            Self::Txn(txn) => {
                buffer.push(if txn.volatile { VOLATILE } else { TXN });
                put_u64(buffer, txn.revision.0);
                put_time(buffer, txn.time);
                put_bytes(buffer, txn.actor.as_bytes());
                put_bytes(buffer, txn.cause.as_bytes());
                put_u64(buffer, txn.changes.len() as u64);
                for (key, value) in &txn.changes {
                    put_bytes(buffer, key.as_bytes());
                    buffer.push(u8::from(value.is_some()));
                    if let Some(value) = value {
                        put_bytes(buffer, value);
                    }
                }
            }
            Self::Base => buffer.push(BASE),
            Self::Entry { key, revision, create_revision, bytes } => {
                buffer.push(ENTRY);
                put_bytes(buffer, key.as_bytes());
                put_u64(buffer, revision.0);
                put_u64(buffer, create_revision.0);
                put_bytes(buffer, bytes);
            }
            Self::SnapshotEnd { revision, count } => {
                buffer.push(SNAPSHOT_END);
                put_u64(buffer, revision.0);
                put_u64(buffer, *count);
            }
            Self::Gone { key } => {
                buffer.push(GONE);
                put_bytes(buffer, key.as_bytes());
            }
            Self::Pin(pin) => {
                buffer.push(PIN);
                put_bytes(buffer, pin.name.as_bytes());
                put_u64(buffer, pin.revision.0);
                put_time(buffer, pin.time);
                put_bytes(buffer, &pin.note);
            }
            Self::Unpin { name } => {
                buffer.push(UNPIN);
                put_bytes(buffer, name.as_bytes());
            }
            Self::Skip { revision } => {
                buffer.push(SKIP);
                put_u64(buffer, revision.0);
            }
        }
        let payload = &buffer[start + FRAME..];
        let length = u32::try_from(payload.len()).unwrap_or(u32::MAX).to_le_bytes();
        let checksum = crc32fast::hash(payload).to_le_bytes();
        buffer[start..start + 4].copy_from_slice(&length);
        buffer[start + 4..start + FRAME].copy_from_slice(&checksum);
    }

    /// Reads the first record of `bytes`: the record and what follows it, or none when there is no whole and undamaged one.
    pub(crate) fn decode(bytes: &Bytes) -> Option<(Self, Bytes)> {
        let mut rest = bytes.clone();
        if rest.remaining() < FRAME {
            return None;
        }
        let length = rest.get_u32_le() as usize;
        let checksum = rest.get_u32_le();
        if length > MAX_PAYLOAD || rest.len() < length {
            return None;
        }
        let payload = rest.split_to(length);
        if crc32fast::hash(&payload) != checksum {
            return None;
        }
        Some((Self::payload(payload)?, rest))
    }

    /// What follows the first record by its length alone, damaged or not; none when it reaches beyond the end.
    pub(crate) fn skip(bytes: &Bytes) -> Option<Bytes> {
        let mut rest = bytes.clone();
        if rest.remaining() < FRAME {
            return None;
        }
        let length = rest.get_u32_le() as usize;
        let after = FRAME.checked_add(length).filter(|after| *after <= bytes.len())?;
        Some(bytes.slice(after..))
    }

    fn payload(mut bytes: Bytes) -> Option<Self> {
        let record = match take(&mut bytes, 1)?[0] {
            kind @ (TXN | VOLATILE) => {
                let revision = Revision(get_u64(&mut bytes)?);
                let time = get_time(&mut bytes)?;
                let actor = get_text(&mut bytes)?;
                let cause = get_text(&mut bytes)?;
                let count = get_u64(&mut bytes)?;
                let mut changes = Vec::new();
                for _ in 0..count {
                    let key = get_text(&mut bytes)?;
                    let value = match take(&mut bytes, 1)?[0] {
                        0 => None,
                        _ => Some(get_bytes(&mut bytes)?),
                    };
                    changes.push((key, value));
                }
                Self::Txn(TxnRecord { revision, time, actor, cause, volatile: kind == VOLATILE, changes })
            }
            ENTRY => {
                let key = get_text(&mut bytes)?;
                let revision = Revision(get_u64(&mut bytes)?);
                let create_revision = Revision(get_u64(&mut bytes)?);
                Self::Entry { key, revision, create_revision, bytes: get_bytes(&mut bytes)? }
            }
            SNAPSHOT_END => Self::SnapshotEnd { revision: Revision(get_u64(&mut bytes)?), count: get_u64(&mut bytes)? },
            BASE => Self::Base,
            GONE => Self::Gone { key: get_text(&mut bytes)? },
            PIN => {
                let name = get_text(&mut bytes)?;
                let revision = Revision(get_u64(&mut bytes)?);
                let time = get_time(&mut bytes)?;
                Self::Pin(PinRecord { name, revision, time, note: get_bytes(&mut bytes)? })
            }
            UNPIN => Self::Unpin { name: get_text(&mut bytes)? },
            SKIP => Self::Skip { revision: Revision(get_u64(&mut bytes)?) },
            _ => return None,
        };
        bytes.is_empty().then_some(record)
    }
}

fn put_u64(buffer: &mut Vec<u8>, value: u64) {
    buffer.extend_from_slice(&value.to_le_bytes());
}

fn put_time(buffer: &mut Vec<u8>, time: Timestamp) {
    buffer.extend_from_slice(&time.as_nanosecond().to_le_bytes());
}

fn put_bytes(buffer: &mut Vec<u8>, bytes: &[u8]) {
    put_u64(buffer, bytes.len() as u64);
    buffer.extend_from_slice(bytes);
}

fn take(bytes: &mut Bytes, length: usize) -> Option<Bytes> {
    (bytes.len() >= length).then(|| bytes.split_to(length))
}

fn get_u64(bytes: &mut Bytes) -> Option<u64> {
    Some(u64::from_le_bytes(take(bytes, 8)?.as_ref().try_into().ok()?))
}

fn get_time(bytes: &mut Bytes) -> Option<Timestamp> {
    let nanos = i128::from_le_bytes(take(bytes, 16)?.as_ref().try_into().ok()?);
    Timestamp::from_nanosecond(nanos).ok()
}

/// A value of its own memory: a slice would keep the whole segment alive.
fn get_bytes(bytes: &mut Bytes) -> Option<Bytes> {
    let length = usize::try_from(get_u64(bytes)?).ok()?;
    Some(Bytes::copy_from_slice(&take(bytes, length)?))
}

fn get_text(bytes: &mut Bytes) -> Option<Arc<str>> {
    let length = usize::try_from(get_u64(bytes)?).ok()?;
    Some(std::str::from_utf8(&take(bytes, length)?).ok()?.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_survive_and_damage_is_found() {
        let (revision, time) = (Revision(7), Timestamp::UNIX_EPOCH);
        let changes = vec![("/a".into(), Some(Bytes::from_static(b"{}"))), ("/b".into(), None)];
        let records = [
            Record::Txn(TxnRecord { revision, time, actor: "learner".into(), cause: "a1".into(), volatile: false, changes: changes.clone() }),
            Record::Txn(TxnRecord { revision, time, actor: "node".into(), cause: "".into(), volatile: true, changes }),
            Record::Base,
            Record::Entry { key: "/a".into(), revision, create_revision: Revision(3), bytes: Bytes::from_static(b"{}") },
            Record::Gone { key: "/a".into() },
            Record::SnapshotEnd { revision, count: 4 },
            Record::Pin(PinRecord { name: "pristine".into(), revision, time, note: Bytes::from_static(b"first boot") }),
            Record::Unpin { name: "pristine".into() },
            Record::Skip { revision },
        ];
        for record in records {
            survives(&record);
        }
    }

    fn survives(record: &Record) {
        let mut buffer = Vec::new();
        record.encode(&mut buffer);
        let whole = Bytes::from(buffer.clone());
        assert_eq!(Record::decode(&whole), Some((record.clone(), Bytes::new())));
        for index in 0..buffer.len() {
            assert_eq!(Record::decode(&whole.slice(..index)), None, "cut at {index}");
            let mut damaged = buffer.clone();
            damaged[index] ^= 0x40;
            assert_eq!(Record::decode(&Bytes::from(damaged)), None, "flipped at {index}");
        }
    }
}
