//! The read path: get and list.
//!
//! A list is a snapshot of the journal's index, filtered and cut into pages; its continue token names the revision of the first page and the
//! last key, so that all pages show one state. upstream: staging/src/k8s.io/apiserver/pkg/storage/{etcd3/store.go,continue.go}

use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use drydock_api::field_error::FieldError;
use drydock_api::fields;
use drydock_api::registry::Resource;
use drydock_api::status::Status;
use drydock_api::table::{self, Headers};
use drydock_primitives::selector::{FieldSelector, LabelSelector};
use drydock_store::{Revision, Snapshot};
use http::{Response, StatusCode};
use serde_json::{Value, json};

use crate::body::Body;
use crate::call::Call;
use crate::respond::{self, Encoding, Shape, Transformable};
use crate::storage;

/// What a list or watch selects.
#[derive(Debug, Clone)]
pub(crate) struct Selection {
    pub(crate) labels: LabelSelector,
    pub(crate) fields: FieldSelector,
}

impl Selection {
    /// Reads `labelSelector` and `fieldSelector`; a name in the path selects that one.
    pub(crate) fn of(call: &Call, row: &Resource) -> Result<Selection, Status> {
        let labels = call.info.parameter("labelSelector").unwrap_or_default();
        let labels = LabelSelector::from_str(labels).map_err(|error| Status::bad_request(error.to_string()))?;
        let text = call.info.parameter("fieldSelector").unwrap_or_default();
        let mut fields = FieldSelector::from_str(text).map_err(|error| Status::bad_request(error.to_string()))?;
        for requirement in &fields.requirements {
            fields::check(row, &requirement.field)?;
        }
        if !call.info.name.is_empty() {
            fields.requirements.extend(FieldSelector::equal("metadata.name", &call.info.name).requirements);
        }
        Ok(Selection { labels, fields })
    }

    /// Whether it selects everything.
    pub(crate) fn is_everything(&self) -> bool {
        self.labels.is_everything() && self.fields.is_everything()
    }

    /// Whether it may select an object that is stored as these bytes. `false` is certain, and much cheaper to find out than by reading the
    /// object: a name that is asked for stands in quotes somewhere in it.
    pub(crate) fn may_match(&self, bytes: &[u8]) -> bool {
        self.fields.requirements.iter().all(|requirement| {
            let plain = requirement.value.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_'));
            let stored_as_text = matches!(requirement.field.as_str(), "metadata.name" | "metadata.namespace" | "spec.nodeName");
            let decisive = requirement.equal && stored_as_text && plain && !requirement.value.is_empty();
            !decisive || contains_text(bytes, requirement.value.as_bytes())
        })
    }

    /// Whether it selects an object.
    pub(crate) fn matches(&self, row: &Resource, object: &Value) -> bool {
        if !self.labels.is_everything() {
            let labels: BTreeMap<String, String> = object["metadata"]["labels"]
                .as_object()
                .into_iter()
                .flatten()
                .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
                .collect();
            if !self.labels.matches(&labels) {
                return false;
            }
        }
        self.fields.is_everything() || self.fields.matches(|label| Some(fields::value(row, object, label)))
    }
}

/// Whether a JSON text has this string in it.
fn contains_text(bytes: &[u8], text: &[u8]) -> bool {
    memchr::memmem::find_iter(bytes, text).any(|at| at > 0 && bytes[at - 1] == b'"' && bytes.get(at + text.len()) == Some(&b'"'))
}

/// Answers a get.
pub(crate) fn get(call: &Call, row: &Arc<Resource>) -> Result<Response<Body>, Status> {
    let stored = call.server.require(row, call.namespace(), &call.info.name)?;
    check_minimum(call, call.server.config().store.revision())?;
    respond::object(call, row, StatusCode::OK, &stored.object, &[])
}

/// A resourceVersion parameter; `None` when absent or empty.
pub(crate) fn resource_version(call: &Call) -> Result<Option<u64>, Status> {
    match call.info.parameter("resourceVersion") {
        None | Some("") => Ok(None),
        Some(text) => text.parse().map(Some).map_err(|_parse| {
            Status::invalid_as(
                "meta.k8s.io",
                "ListOptions",
                "",
                &[FieldError::invalid("resourceVersion", text, format!("strconv.ParseUint: parsing \"{text}\": invalid syntax"))],
            )
        }),
    }
}

fn check_minimum(call: &Call, current: Revision) -> Result<(), Status> {
    match resource_version(call)? {
        Some(asked) if asked > current.0 => Err(Status::too_large_resource_version(asked, current.0)),
        _ => Ok(()),
    }
}

/// A page's place in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Continue {
    revision: u64,
    start: String,
}

impl Continue {
    fn encode(&self) -> String {
        URL_SAFE_NO_PAD.encode(json!({"v": "meta.k8s.io/v1", "rv": self.revision, "start": self.start}).to_string())
    }

    fn decode(text: &str) -> Result<Continue, Status> {
        let invalid = || Status::bad_request("continue key is not valid: the token is malformed");
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_decode| invalid())?;
        let value: Value = serde_json::from_slice(&bytes).map_err(|_parse| invalid())?;
        let revision = value["rv"].as_i64().ok_or_else(invalid)?;
        let start = value["start"].as_str().filter(|start| !start.is_empty()).ok_or_else(invalid)?.to_owned();
        // -1 marks a token that goes on with whatever is there now.
        Ok(Continue { revision: u64::try_from(revision).unwrap_or(0), start })
    }
}

/// One page of a list.
pub(crate) struct Page {
    pub(crate) items: Vec<Value>,
    pub(crate) metadata: Value,
}

/// Answers a list.
pub(crate) fn list(call: &Call, row: &Arc<Resource>) -> Result<Response<Body>, Status> {
    let accepted = respond::negotiate(call, Transformable::Yes)?;
    if accepted.shape == Shape::Whole
        && accepted.encoding == Encoding::Json
        && let Some(bytes) = copied_list(call, row)?
    {
        return respond::bytes(bytes);
    }
    let Page { items, metadata } = page(call, row)?;
    let shaped = match accepted.shape {
        Shape::Whole => whole_list(row, items, &metadata),
        Shape::Table => table::render(row, &items, metadata, respond::include(call)?, Headers::Full, call.server.config().clock.now()),
        Shape::Partial => table::partial_list(&items, metadata),
    };
    respond::value(StatusCode::OK, &shaped, accepted.encoding)
}

/// A list of everything in a place, by copying bytes; `None` when something must be selected, cut or converted.
fn copied_list(call: &Call, row: &Resource) -> Result<Option<Bytes>, Status> {
    let plain = ["labelSelector", "fieldSelector", "continue"].iter().all(|name| call.info.parameter(name).is_none_or(str::is_empty));
    if !plain || row.schema.is_none() || !call.info.name.is_empty() {
        return Ok(None);
    }
    let limit = limit(call)?;
    let snapshot = snapshot(call, None)?;
    let prefix = row.prefix(call.namespace());
    if snapshot.range(&prefix).take(limit.saturating_add(1)).count() > limit {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    let (kind, version, revision) = (&row.kind, row.api_version(), snapshot.revision());
    bytes.extend_from_slice(
        format!("{{\"kind\":\"{kind}List\",\"apiVersion\":\"{version}\",\"metadata\":{{\"resourceVersion\":\"{revision}\"}},\"items\":[").as_bytes(),
    );
    let start = bytes.len();
    for (_, entry) in snapshot.range(&prefix) {
        if bytes.len() > start {
            bytes.push(b',');
        }
        if !storage::splice_item(row, &entry.bytes, entry.revision, &mut bytes) {
            return Ok(None);
        }
    }
    bytes.extend_from_slice(b"]}\n");
    Ok(Some(bytes.into()))
}

/// The `FooList` of objects. Items of a typed list carry no apiVersion and kind, as upstream.
pub(crate) fn whole_list(row: &Resource, mut items: Vec<Value>, metadata: &Value) -> Value {
    for item in &mut items {
        if let Some(item) = item.as_object_mut()
            && row.schema.is_some()
        {
            item.remove("apiVersion");
            item.remove("kind");
        }
    }
    json!({"kind": format!("{}List", row.kind), "apiVersion": row.api_version(), "metadata": metadata, "items": items})
}

/// Computes a page.
pub(crate) fn page(call: &Call, row: &Resource) -> Result<Page, Status> {
    let selection = Selection::of(call, row)?;
    let limit = limit(call)?;
    let token = call.info.parameter("continue").filter(|token| !token.is_empty()).map(Continue::decode).transpose()?;
    let snapshot = snapshot(call, token.as_ref())?;
    let prefix = row.prefix(call.namespace());
    let start = token.as_ref().map_or(prefix.as_str(), |token| token.start.as_str());
    if !start.starts_with(&prefix) {
        return Err(Status::bad_request("continue key is not valid: the key does not belong to this list"));
    }
    let mut items = Vec::new();
    let mut last_key = None;
    let mut more = 0;
    for (key, entry) in snapshot.range_after(&prefix, start) {
        if items.len() == limit {
            more += 1;
            if selection.is_everything() {
                continue;
            }
            break;
        }
        let object = storage::decode(row, &entry.bytes, entry.revision)?;
        if selection.matches(row, &object) {
            items.push(object);
            last_key = Some(Arc::clone(key));
        }
    }
    let mut metadata = json!({"resourceVersion": snapshot.revision().to_string()});
    if more > 0
        && let Some(key) = last_key
    {
        metadata["continue"] = Continue { revision: snapshot.revision().0, start: key.to_string() }.encode().into();
        if selection.is_everything() {
            metadata["remainingItemCount"] = more.into();
        }
    }
    Ok(Page { items, metadata })
}

fn limit(call: &Call) -> Result<usize, Status> {
    match call.info.parameter("limit") {
        None | Some("" | "0") => Ok(usize::MAX),
        Some(text) => text.parse().map_err(|_parse| Status::bad_request(format!("strconv.ParseInt: parsing \"{text}\": invalid syntax"))),
    }
}

fn snapshot(call: &Call, token: Option<&Continue>) -> Result<Snapshot, Status> {
    let store = &call.server.config().store;
    let asked = resource_version(call)?;
    let matching = call.info.parameter("resourceVersionMatch").unwrap_or_default();
    let forbidden = |field: &str, detail: &str| Status::invalid_as("meta.k8s.io", "ListOptions", "", &[FieldError::forbidden(field, detail)]);
    if let Some(token) = token {
        if asked.is_some_and(|asked| asked > 0) {
            return Err(Status::bad_request("specifying resource version is not allowed when using continue"));
        }
        if !matching.is_empty() {
            return Err(forbidden("resourceVersionMatch", "resourceVersionMatch is forbidden when continue is provided"));
        }
        if token.revision == 0 {
            return Ok(store.snapshot());
        }
        return store.snapshot_at(Revision(token.revision)).map_err(|_compacted| expired_continue(token));
    }
    if !matching.is_empty() && asked.is_none() {
        return Err(forbidden("resourceVersionMatch", "resourceVersionMatch is forbidden unless resourceVersion is provided"));
    }
    match (matching, asked) {
        ("Exact", Some(0)) => Err(forbidden("resourceVersionMatch", "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"")),
        ("Exact", Some(asked)) => {
            if asked > store.revision().0 {
                return Err(Status::too_large_resource_version(asked, store.revision().0));
            }
            store.snapshot_at(Revision(asked)).map_err(|compacted| Status::too_old(compacted.asked.0, compacted.oldest.0))
        }
        ("" | "NotOlderThan", _) => {
            check_minimum(call, store.revision())?;
            Ok(store.snapshot())
        }
        (other, _) => Err(Status::invalid_as(
            "meta.k8s.io",
            "ListOptions",
            "",
            &[FieldError::not_supported("resourceVersionMatch", other, &["Exact", "NotOlderThan", ""])],
        )),
    }
}

fn expired_continue(token: &Continue) -> Status {
    let mut status = Status::expired(
        "The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue \
         parameter, or use the continue token in this response to retrieve the remainder of the results. Continuing with the provided token \
         results in an inconsistent list - objects that were created, modified, or deleted between the time the first chunk was returned and \
         now may show up in the list.",
    );
    let start = &token.start;
    status.continuation = URL_SAFE_NO_PAD.encode(json!({"v": "meta.k8s.io/v1", "rv": -1, "start": start}).to_string());
    status
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_selected_is_seen_without_reading_it() {
        let bytes = br#"{"metadata":{"name":"web-1","labels":{"on":"node-12"}},"spec":{"nodeName":"node-2","hostNetwork":true}}"#;
        for (fields, wanted) in [
            ("spec.nodeName=node-2", true),
            ("spec.nodeName=node-1", false),
            ("spec.nodeName!=node-1", true),
            ("spec.nodeName=", true),
            ("metadata.name=web-1,spec.nodeName=node-2", true),
            ("metadata.name=web,spec.nodeName=node-2", false),
            ("spec.hostNetwork=true", true),
            ("", true),
        ] {
            let selection = Selection { labels: LabelSelector::from_str("").unwrap(), fields: FieldSelector::from_str(fields).unwrap() };
            assert_eq!(selection.may_match(bytes), wanted, "{fields}");
        }
    }

    #[test]
    fn a_continue_token_survives_and_garbage_does_not() {
        let token = Continue { revision: 7, start: "/registry/pods/a/b".to_owned() };
        assert_eq!(Continue::decode(&token.encode()).unwrap(), token);
        for garbage in ["", "%", "e30"] {
            assert_eq!(Continue::decode(garbage).unwrap_err().code, 400, "{garbage}");
        }
    }
}
