//! Objects in the journal: keys by row, bytes without `resourceVersion`, which is the revision and put in when read.
//!
//! The bytes have a fixed shape: `metadata` comes first, `apiVersion` and `kind` last. So a reader that wants the object as it is stored
//! gets it by copying: the revision goes in behind the opening of `metadata`, and an item of a list leaves out the end.

use std::sync::Arc;

use bytes::Bytes;
use drydock_api::registry::Resource;
use drydock_api::status::Status;
use drydock_store::{CommitError, Entry, Expect, Op, Revision, Txn};
use serde_json::Value;

use crate::ApiServer;
use crate::call::Call;

/// An object as stored now, in the version of the row it was read through.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    pub(crate) object: Value,
    pub(crate) revision: Revision,
}

/// Why a write was not committed.
pub(crate) enum WriteError {
    /// Somebody else was faster: read again.
    Conflict,
    /// It cannot be written.
    Status(Status),
}

impl From<Status> for WriteError {
    fn from(status: Status) -> WriteError {
        WriteError::Status(status)
    }
}

/// Makes an object of stored bytes.
pub(crate) fn decode(row: &Resource, bytes: &Bytes, revision: Revision) -> Result<Value, Status> {
    let mut object: Value = serde_json::from_slice(bytes).map_err(Status::internal)?;
    row.decode_storage(&mut object);
    set_revision(&mut object, revision);
    Ok(object)
}

/// Puts a revision into an object.
pub(crate) fn set_revision(object: &mut Value, revision: Revision) {
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.insert("resourceVersion".to_owned(), Value::from(revision.to_string()));
    }
}

/// How stored bytes begin.
const HEAD: &[u8] = b"{\"metadata\":{\"";
/// How the last two fields of stored bytes begin.
const TAIL: &[u8] = b",\"apiVersion\":\"";

fn encode(row: &Resource, object: &Value) -> Result<Bytes, Status> {
    let mut object = object.clone();
    row.encode_storage(&mut object);
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("resourceVersion");
    }
    let Value::Object(fields) = object else { return Err(Status::internal("an object to store is none")) };
    let place = |name: &str| match name {
        "metadata" => 0,
        "apiVersion" => 2,
        "kind" => 3,
        _ => 1,
    };
    let mut fields: Vec<(&String, &Value)> = fields.iter().collect();
    fields.sort_by_key(|(name, _)| place(name));
    let mut bytes = vec![b'{'];
    for (name, value) in fields {
        if bytes.len() > 1 {
            bytes.push(b',');
        }
        serde_json::to_writer(&mut bytes, name).map_err(Status::internal)?;
        bytes.push(b':');
        serde_json::to_writer(&mut bytes, value).map_err(Status::internal)?;
    }
    bytes.push(b'}');
    Ok(bytes.into())
}

/// Appends a stored object with its revision as it is; `false`, and nothing appended, when the bytes have not the expected shape.
pub(crate) fn splice(row: &Resource, bytes: &[u8], revision: Revision, out: &mut Vec<u8>) -> bool {
    if !row.serves_stored_form() || !bytes.starts_with(HEAD) {
        return false;
    }
    let opening = HEAD.len() - 1;
    out.extend_from_slice(&bytes[..opening]);
    out.extend_from_slice(format!("\"resourceVersion\":\"{revision}\",").as_bytes());
    out.extend_from_slice(&bytes[opening..]);
    true
}

/// As [`splice`], without apiVersion and kind.
pub(crate) fn splice_item(row: &Resource, bytes: &[u8], revision: Revision, out: &mut Vec<u8>) -> bool {
    // The tail is short and holds no nested value: its last occurrence is it.
    let window = bytes.len().saturating_sub(TAIL.len() + 512);
    let Some(end) = bytes[window..].windows(TAIL.len()).rposition(|part| part == TAIL) else { return false };
    if !splice(row, &bytes[..window + end], revision, out) {
        return false;
    }
    out.push(b'}');
    true
}

/// Appends the `PartialObjectMetadata` of a stored object; `false`, and nothing appended, when the bytes have not the expected shape.
pub(crate) fn splice_metadata(row: &Resource, bytes: &[u8], revision: Revision, out: &mut Vec<u8>) -> bool {
    let opening = HEAD.len() - 1;
    if !row.serves_stored_form() || !bytes.starts_with(HEAD) {
        return false;
    }
    // What follows the name of the first field is the metadata; where they end, nobody has to know what is in them.
    let start = opening - 1;
    let mut values = serde_json::Deserializer::from_slice(&bytes[start..]).into_iter::<serde::de::IgnoredAny>();
    if !matches!(values.next(), Some(Ok(_))) {
        return false;
    }
    let end = start + values.byte_offset();
    out.extend_from_slice(b"{\"kind\":\"PartialObjectMetadata\",\"apiVersion\":\"meta.k8s.io/v1\",\"metadata\":{");
    out.extend_from_slice(format!("\"resourceVersion\":\"{revision}\",").as_bytes());
    out.extend_from_slice(&bytes[opening..end]);
    out.push(b'}');
    true
}

impl ApiServer {
    /// One object, if it exists.
    pub(crate) fn load(&self, row: &Resource, namespace: Option<&str>, name: &str) -> Result<Option<Stored>, Status> {
        let Some(Entry { revision, bytes, .. }) = self.config().store.get(&row.key(namespace, name)) else { return Ok(None) };
        Ok(Some(Stored { object: decode(row, &bytes, revision)?, revision }))
    }

    /// One object that must exist.
    pub(crate) fn require(&self, row: &Resource, namespace: Option<&str>, name: &str) -> Result<Stored, Status> {
        self.load(row, namespace, name)?.ok_or_else(|| Status::not_found(row, name))
    }

    /// An object of a built-in core kind, if it exists.
    pub(crate) fn core(&self, plural: &str, namespace: Option<&str>, name: &str) -> Option<Value> {
        let registry = self.registry();
        let row = registry.get("", "v1", plural)?;
        self.load(row, namespace, name).ok().flatten().map(|stored| stored.object)
    }

    /// All objects of a kind.
    pub(crate) fn all(&self, row: &Resource, namespace: Option<&str>) -> Result<Vec<Value>, Status> {
        let snapshot = self.config().store.snapshot();
        let prefix = row.prefix(namespace);
        let entries = snapshot.range(&prefix);
        entries.map(|(_, entry)| decode(row, &entry.bytes, entry.revision)).collect()
    }

    /// A Pod that must exist.
    pub(crate) fn pod(&self, namespace: &str, name: &str) -> Result<Value, Status> {
        self.core("pods", Some(namespace), name).ok_or_else(|| Status::not_found_as("", "pods", name))
    }

    /// A Node, if it exists.
    pub(crate) fn node(&self, name: &str) -> Option<Value> {
        self.core("nodes", None, name)
    }
}

/// Which state a write expects, and what it does.
pub(crate) enum Change<'a> {
    /// The key is absent.
    Create(&'a Value),
    /// The object has this revision.
    Update(&'a Value, Revision),
    /// The object has this revision and goes.
    Delete(Revision),
}

/// Commits a change of one object; returns its new revision.
pub(crate) fn commit(call: &Call, row: &Arc<Resource>, key: &str, change: &Change<'_>) -> Result<Revision, WriteError> {
    let key = key.to_owned();
    let op = match change {
        Change::Create(object) => Op::Put { key, bytes: encode(row, object)?, expect: Expect::Absent },
        Change::Update(object, revision) => Op::Put { key, bytes: encode(row, object)?, expect: Expect::Revision(*revision) },
        Change::Delete(revision) => Op::Delete { key, expect: Expect::Revision(*revision) },
    };
    let cause = match call.header(CAUSE_HEADER) {
        own if own.is_empty() => call.audit_id.clone(),
        inherited => inherited,
    };
    let txn = Txn {
        ops: vec![op],
        actor: call.identity.user.as_str().into(),
        cause: cause.as_str().into(),
        sync: row.group != "coordination.k8s.io",
    };
    match call.server.config().store.commit(txn) {
        Ok(revision) => Ok(revision),
        Err(CommitError::Conflict(_)) => Err(WriteError::Conflict),
        Err(CommitError::TooLarge(_)) => Err(WriteError::Status(Status::too_large(crate::call::BODY_LIMIT))),
        Err(CommitError::Disk(error)) => Err(WriteError::Status(Status::internal(format!(
            "the journal cannot be written ({error}), so nothing was changed; make room on the disk that holds the state directory and try again"
        )))),
        Err(error @ CommitError::Duplicate(_)) => Err(WriteError::Status(Status::internal(error))),
    }
}

/// The header by which a reconcile names the request ids that woke it; without it a write's cause is its own request.
pub(crate) const CAUSE_HEADER: &str = "x-drydock-cause";

#[cfg(test)]
mod tests {
    use super::*;
    use drydock_api::registry::Registry;
    use serde_json::json;

    #[test]
    fn stored_bytes_are_served_by_copying() {
        let registry = Registry::builtin();
        let row = registry.get("", "v1", "configmaps").unwrap();
        let tricky = ",\"apiVersion\":\"v2\"}";
        let object = json!({
            "apiVersion": "v1", "kind": "ConfigMap", "data": {"metadata": tricky, "z": "{\"metadata\":{\""},
            "metadata": {"name": "a", "annotations": {"x": tricky}, "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "u"}]},
        });
        let bytes = encode(row, &object).unwrap();
        let mut expected = object.clone();
        expected["metadata"]["resourceVersion"] = json!("7");
        let mut whole = Vec::new();
        assert!(splice(row, &bytes, Revision(7), &mut whole));
        assert_eq!(serde_json::from_slice::<Value>(&whole).unwrap(), expected);
        assert_eq!(decode(row, &bytes, Revision(7)).unwrap(), expected);
        let mut item = Vec::new();
        assert!(splice_item(row, &bytes, Revision(7), &mut item));
        let expected = expected.as_object_mut().unwrap();
        expected.remove("apiVersion");
        expected.remove("kind");
        assert_eq!(serde_json::from_slice::<Value>(&item).unwrap(), Value::Object(expected.clone()));
        let mut partial = Vec::new();
        assert!(splice_metadata(row, &bytes, Revision(7), &mut partial));
        let wanted = json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": expected["metadata"]});
        assert_eq!(serde_json::from_slice::<Value>(&partial).unwrap(), wanted);
        assert!(!splice_metadata(row, b"{\"metadata\":{\"name\":", Revision(7), &mut item));
        // Bytes of another shape are not copied.
        assert!(!splice(row, b"{\"kind\":\"ConfigMap\"}", Revision(7), &mut item));
    }
}
