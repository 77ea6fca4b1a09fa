//! What a server says of the schemas of its kinds, as far as kubectl asks: whether it judges the fields of what it is sent.
//!
//! Each document is fetched when it is first needed and once in a command, new form before old, as stock kubectl asks for them.
// upstream: cli-runtime/pkg/resource/{query_param_verifier_v3,query_param_verifier,crd_finder}.go, kubectl/pkg/validation/schema.go

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::builder::no_object;
use crate::factory::Factory;
use crate::failure::Failure;
use crate::rest::{ANYTHING, Call};

/// The parameter by which a server is told how to judge fields.
const JUDGES: &str = "fieldValidation";

/// The documents that were fetched; also that one could not be is known.
#[derive(Default)]
pub struct Schemas {
    index: OnceCell<Result<Index, Failure>>,
    versions: RefCell<BTreeMap<String, Result<Rc<Document>, Failure>>>,
    old: OnceCell<Result<Old, Failure>>,
    /// Group and kind of each custom kind, as each of the two forms asks.
    custom: [OnceCell<Result<Vec<(String, String)>, Failure>>; 2],
}

#[derive(Debug, Deserialize)]
struct Index {
    paths: BTreeMap<String, Place>,
}

#[derive(Debug, Deserialize)]
struct Place {
    #[serde(rename = "serverRelativeURL")]
    url: String,
}

/// The operations of a document.
#[derive(Debug, Default, Deserialize)]
struct Document {
    #[serde(default)]
    paths: BTreeMap<String, Operations>,
}

#[derive(Debug, Deserialize)]
struct Operations {
    patch: Option<Operation>,
}

#[derive(Debug, Deserialize)]
struct Operation {
    #[serde(default)]
    parameters: Vec<Parameter>,
    #[serde(rename = "x-kubernetes-group-version-kind", default)]
    kind: Value,
    #[serde(rename = "requestBody")]
    body: Option<Body>,
}

#[derive(Debug, Deserialize)]
struct Parameter {
    #[serde(default)]
    name: String,
    #[serde(rename = "$ref", default)]
    reference: String,
}

#[derive(Debug, Deserialize)]
struct Body {
    #[serde(default)]
    content: BTreeMap<String, serde::de::IgnoredAny>,
}

/// The old form: all kinds in one document.
#[derive(Debug, Deserialize)]
struct Old {
    #[serde(flatten)]
    document: Document,
    #[serde(default)]
    definitions: Value,
}

/// Group, version and kind.
#[derive(Debug, Clone, Copy)]
struct Kind<'a> {
    group: &'a str,
    version: &'a str,
    kind: &'a str,
}

const NAMESPACE: Kind<'static> = Kind { group: "", version: "v1", kind: "Namespace" };

impl<'a> Kind<'a> {
    fn of(document: &'a Value) -> Self {
        let version = document["apiVersion"].as_str().unwrap_or_default();
        let (group, version) = version.split_once('/').unwrap_or(("", version));
        Self { group, version, kind: document["kind"].as_str().unwrap_or_default() }
    }

    fn is_list(self) -> bool {
        self.group.is_empty() && self.version == "v1" && self.kind == "List"
    }

    fn is_in(self, said: &Value) -> bool {
        said["group"] == self.group && said["version"] == self.version && said["kind"] == self.kind
    }

    /// By which name its version is listed.
    fn place(self) -> String {
        if self.group.is_empty() { format!("api/{}", self.version) } else { format!("apis/{}/{}", self.group, self.version) }
    }
}

impl Document {
    /// How a kind is patched.
    fn patch(&self, kind: Kind<'_>) -> Option<&Operation> {
        self.paths.values().filter_map(|path| path.patch.as_ref()).find(|patch| kind.is_in(&patch.kind))
    }
}

impl Operation {
    fn judges(&self) -> bool {
        // A parameter that several operations share is called after its name, and something that makes it unique.
        let shared = |parameter: &Parameter| parameter.reference.rsplit('/').next().is_some_and(|name| name.split('-').next() == Some(JUDGES));
        self.parameters.iter().any(|parameter| parameter.name == JUDGES || shared(parameter))
    }
}

/// Whether a version has a document of its own.
enum Found {
    Here(Rc<Document>),
    Nowhere,
}

impl Schemas {
    async fn version(&self, factory: &Factory, kind: Kind<'_>) -> Result<Found, Failure> {
        let index = self.index.get_or_init(|| index(factory)).await.as_ref().map_err(Clone::clone)?;
        let place = kind.place();
        let Some(Place { url }) = index.paths.get(&place) else { return Ok(Found::Nowhere) };
        let known = self.versions.borrow().get(&place).cloned();
        let document = match known {
            Some(document) => document,
            None => {
                let fetched = read(factory, Call::get(url.as_str())).await.map(Rc::new);
                self.versions.borrow_mut().insert(place, fetched.clone());
                fetched
            }
        };
        document.map(Found::Here)
    }

    async fn old(&self, factory: &Factory) -> Result<&Old, Failure> {
        self.old.get_or_init(|| read(factory, Call::get("/openapi/v2"))).await.as_ref().map_err(Clone::clone)
    }

    /// Whether it is a custom kind.
    async fn custom(&self, factory: &Factory, form: usize, kind: Kind<'_>) -> Result<bool, Failure> {
        let known = self.custom[form].get_or_init(|| custom(factory)).await.as_ref().map_err(Clone::clone)?;
        Ok(known.iter().any(|(group, name)| group == kind.group && name == kind.kind))
    }

    /// Whether the server judges the fields of a kind.
    async fn judged(&self, factory: &Factory, kind: Kind<'_>) -> Result<bool, String> {
        if kind.is_list() {
            return Ok(false);
        }
        match self.version(factory, kind).await {
            Ok(Found::Here(document)) => {
                if let Some(patch) = document.patch(kind) {
                    return Ok(patch.judges());
                }
            }
            Ok(Found::Nowhere) => {
                if !self.custom(factory, 0, kind).await.unwrap_or(false) {
                    return Ok(false);
                }
                if let Ok(Found::Here(document)) = self.version(factory, NAMESPACE).await
                    && let Some(patch) = document.patch(NAMESPACE)
                {
                    return Ok(patch.judges());
                }
            }
            Err(_) => {}
        }
        let old = match self.old(factory).await {
            Err(failure) => return Err(format!("failed to download openapi: {}", failure.whole())),
            Ok(old) => old,
        };
        if let Some(patch) = old.document.patch(kind) {
            return Ok(patch.judges());
        }
        if !old.document.patch(NAMESPACE).is_some_and(Operation::judges) {
            return Ok(false);
        }
        match self.custom(factory, 1, kind).await {
            Err(failure) => Err(format!("failed to check CRD: {}", failure.whole())),
            Ok(custom) => Ok(custom),
        }
    }

    /// What keeps a document from being sent.
    pub(crate) async fn check(&self, factory: &Factory, document: &Value, strict: bool) -> Result<(), String> {
        if let Some(why) = no_object(document) {
            return Err(why.to_owned());
        }
        if self.judged(factory, Kind::of(document)).await? {
            return Ok(());
        }
        if !strict {
            crate::write::klog(factory, 'W', "schema.go:153", "cannot perform warn validation if server-side field validation is unsupported, skipping validation");
            return Ok(());
        }
        let one = std::slice::from_ref(document);
        let objects = match &document["items"] {
            _ if !Kind::of(document).is_list() => one,
            Value::Array(items) => items.as_slice(),
            _ => return Err("invalid object to validate".to_owned()),
        };
        let mut wrong = Vec::new();
        for object in objects {
            if let Some(why) = no_object(object) {
                wrong.push(why.to_owned());
                continue;
            }
            match self.old(factory).await {
                Err(failure) => wrong.push(failure.whole()),
                Ok(old) => wrong.extend(fields::wrong(&old.definitions, object, |said| Kind::of(object).is_in(said))),
            }
        }
        match wrong.as_slice() {
            [] => Ok(()),
            [one] => Err(one.clone()),
            many => Err(format!("[{}]", many.join(", "))),
        }
    }

    /// What stock kubectl reads before it makes a patch: nothing of it changes the patch of a kind that is built in.
    // upstream: kubectl/pkg/cmd/apply/patcher.go patchSimple
    pub(crate) async fn patched(&self, factory: &Factory, mapping: &crate::discovery::Mapping) {
        let kind = Kind { group: &mapping.group, version: &mapping.version, kind: &mapping.kind };
        let strategic = match self.version(factory, kind).await {
            Ok(Found::Here(document)) => document.patch(kind).and_then(|patch| patch.body.as_ref()).is_some_and(|body| body.content.contains_key(crate::rest::STRATEGIC_PATCH)),
            _ => false,
        };
        if !strategic {
            // Also a server without schemas takes patches.
            drop(self.old(factory).await);
        }
    }
}

async fn index(factory: &Factory) -> Result<Index, Failure> {
    read(factory, Call::get("/openapi/v3").accept(ANYTHING)).await
}

async fn custom(factory: &Factory) -> Result<Vec<(String, String)>, Failure> {
    let list = factory.call(Call::get("/apis/apiextensions.k8s.io/v1/customresourcedefinitions")).await?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Ok(list["items"].as_array().into_iter().flatten().map(|kind| (text(&kind["spec"]["group"]), text(&kind["spec"]["names"]["kind"]))).collect())
}

async fn read<T: serde::de::DeserializeOwned>(factory: &Factory, call: Call) -> Result<T, Failure> {
    let answer = factory.answer(call.query("timeout", factory.discovery_timeout())).await.map_err(crate::discovery::generic)?;
    serde_json::from_slice(&answer.body).map_err(|error| Failure::new(error.to_string()))
}

mod fields {
    //! Fields judged here, by the old form: what the server would not judge itself, such as a `List`.
    // upstream: kube-openapi/pkg/util/proto/validation/{types,errors}.go

    use super::{Value, json};

    /// How many definitions lead to the one that is meant.
    const FARTHEST: usize = 100;

    /// Of a name: what its schema refers to.
    fn name_of(schema: &Value) -> Option<&str> {
        schema["$ref"].as_str()?.strip_prefix("#/definitions/")
    }

    /// What is wrong with an object whose definition is told by its group, version and kind. What has no definition is right.
    pub(super) fn wrong(definitions: &Value, object: &Value, is: impl Fn(&Value) -> bool) -> Vec<String> {
        let of = |definition: &Value| definition["x-kubernetes-group-version-kind"].as_array().is_some_and(|kinds| kinds.iter().any(&is));
        let Some((name, _)) = definitions.as_object().into_iter().flatten().find(|(_, definition)| of(definition)) else { return Vec::new() };
        let mut found = Vec::new();
        let root = object["kind"].as_str().unwrap_or_default();
        visit(definitions, &json!({"$ref": format!("#/definitions/{name}")}), object, root, "", &mut found);
        found
    }

    fn visit(definitions: &Value, schema: &Value, value: &Value, path: &str, name: &str, found: &mut Vec<String>) {
        let (mut schema, mut name) = (schema, name);
        let mut steps = 0;
        while let Some(next) = name_of(schema) {
            (schema, name) = (&definitions[next], next);
            steps += 1;
            if steps == FARTHEST {
                // A definition that leads to itself says nothing.
                return;
            }
        }
        if value.is_null() {
            return;
        }
        let mut tell = |why: String| found.push(format!("ValidationError({path}): {why}"));
        let kind = match value {
            Value::Object(_) => "map",
            Value::Array(_) => "array",
            Value::String(_) => "string",
            Value::Bool(_) => "boolean",
            Value::Number(number) if number.is_f64() => "number",
            _ => "integer",
        };
        match schema["type"].as_str().unwrap_or(if schema["properties"].is_object() { "object" } else { "" }) {
            "object" if schema["properties"].is_object() => {
                let Some(given) = value.as_object() else { return tell(format!("invalid type for {name}: got {kind:?}, expected \"map\"")) };
                for (field, value) in given {
                    let inner = &schema["properties"][field];
                    if inner.is_null() {
                        found.push(format!("ValidationError({path}): unknown field {field:?} in {name}"));
                    } else {
                        visit(definitions, inner, value, &format!("{path}.{field}"), &format!("{name}.{field}"), found);
                    }
                }
                for field in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).filter(|field| given.get(*field).is_none_or(Value::is_null)) {
                    found.push(format!("ValidationError({path}): missing required field {field:?} in {name}"));
                }
            }
            "object" if schema["additionalProperties"].is_object() => {
                let Some(given) = value.as_object() else { return tell(format!("invalid type for {name}: got {kind:?}, expected \"map\"")) };
                for (key, value) in given {
                    visit(definitions, &schema["additionalProperties"], value, &format!("{path}.{key}"), name, found);
                }
            }
            "array" => {
                let Some(given) = value.as_array() else { return tell(format!("invalid type for {name}: got {kind:?}, expected \"array\"")) };
                for (index, value) in given.iter().enumerate() {
                    visit(definitions, &schema["items"], value, &format!("{path}[{index}]"), name, found);
                }
            }
            wanted @ ("string" | "boolean" | "integer" | "number") => {
                let either = schema["format"] == "int-or-string" && matches!(kind, "string" | "integer");
                if !(kind == wanted || either || wanted == "number" && kind == "integer") {
                    tell(format!("invalid type for {name}: got {kind:?}, expected {wanted:?}"));
                }
            }
            _ => {}
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn fields_are_judged_as_stock_kubectl_judges_them() {
            let definitions = json!({
                "a.Thing": {"x-kubernetes-group-version-kind": [{"kind": "Thing"}], "type": "object", "required": ["name"], "properties": {
                    "kind": {"type": "string"}, "name": {"type": "string"}, "parts": {"type": "array", "items": {"$ref": "#/definitions/a.Part"}},
                    "port": {"type": "string", "format": "int-or-string"}, "labels": {"type": "object", "additionalProperties": {"type": "string"}},
                }},
                "a.Part": {"type": "object", "properties": {"size": {"type": "integer"}}},
                "a.Loop": {"x-kubernetes-group-version-kind": [{"kind": "Loop"}], "type": "object", "properties": {"kind": {"type": "string"}, "loop": {"$ref": "#/definitions/a.Round"}}},
                "a.Round": {"$ref": "#/definitions/a.About"}, "a.About": {"$ref": "#/definitions/a.Round"},
            });
            let cases = [
                (json!({"kind": "Thing", "name": "x", "port": 5, "labels": {"a": "b"}, "parts": [{"size": 1}]}), ""),
                (json!({"kind": "Other", "more": 1}), ""),
                (json!({"kind": "Loop", "loop": {"loop": 1}}), ""),
                (json!({"kind": "Thing"}), "ValidationError(Thing): missing required field \"name\" in a.Thing"),
                (json!({"kind": "Thing", "name": "x", "more": 1}), "ValidationError(Thing): unknown field \"more\" in a.Thing"),
                (json!({"kind": "Thing", "name": "x", "parts": [{"size": "1"}]}), "ValidationError(Thing.parts[0].size): invalid type for a.Part.size: got \"string\", expected \"integer\""),
                (json!({"kind": "Thing", "name": "x", "labels": {"a": 5}}), "ValidationError(Thing.labels.a): invalid type for a.Thing.labels: got \"integer\", expected \"string\""),
            ];
            for (object, wanted) in cases {
                assert_eq!(wrong(&definitions, &object, |said| said["kind"] == object["kind"]).join(", "), wanted);
            }
        }
    }
}
