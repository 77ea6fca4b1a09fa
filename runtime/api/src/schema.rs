//! Schemas: the shape of each kind, from k8s-openapi plus our overlay.
//!
//! k8s-openapi's `schemars` feature gives every definition under its upstream name; [`Schema::of`] collects those a kind reaches,
//! adds what the overlay knows, and compiles them into [`Type`]s that decoding, patching and applying walk. The JSON form of the same
//! definitions feeds [`crate::openapi`].

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use serde_json::{Map, Value};

use crate::schema_overlay::{LATER, OVERLAY};

/// The shape of a kind.
#[derive(Debug)]
pub struct Schema {
    /// Definition name such as `io.k8s.api.core.v1.Pod`.
    pub name: String,
    /// The compiled shape.
    pub root: Arc<Definition>,
}

/// An object type with named fields.
#[derive(Debug)]
pub struct Definition {
    /// Full definition name.
    pub name: String,
    /// Go's name of the struct, such as `Container`.
    pub go_name: String,
    /// `x-kubernetes-map-type: atomic`: owned and replaced as a whole.
    pub atomic: bool,
    /// The fields.
    pub fields: BTreeMap<String, Field>,
}

/// One field.
#[derive(Debug)]
pub struct Field {
    /// Its type.
    pub kind: Type,
    /// What Go does with it when it is empty.
    pub empty: Empty,
    /// How a strategic merge patch treats it.
    pub patch: PatchStrategy,
    /// Map or object owned as a whole.
    pub atomic: bool,
    /// The schema's default.
    pub default: Option<Value>,
    /// Go's name of a string type with a closed set, such as `PullPolicy`.
    pub go_type: Option<String>,
}

/// What Go's encoder does with an empty value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Empty {
    /// Writes it, and the field must be there.
    Required,
    /// Drops it.
    Dropped,
    /// Writes it if it was given: the field is a pointer.
    Kept,
    /// Writes it even if it was not given: the field is a plain struct.
    Always,
}

/// `patchStrategy` and `patchMergeKey`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PatchStrategy {
    /// Lists are merged instead of replaced.
    pub merge: bool,
    /// The key that tells list items apart; `None` for lists of scalars.
    pub key: Option<String>,
    /// Sibling fields not named in `$retainKeys` go.
    pub retain_keys: bool,
}

/// A type.
#[derive(Clone, Debug)]
pub enum Type {
    /// An object with named fields.
    Struct(Arc<Definition>),
    /// An object with free keys.
    Map(Box<Type>),
    /// A list.
    List(Box<Type>, ListType),
    /// A string.
    String,
    /// Base64.
    Bytes,
    /// `int32`.
    Int32,
    /// `int64`.
    Int64,
    /// `float64`.
    Number,
    /// `bool`.
    Bool,
    /// `metav1.Time`.
    Time,
    /// `metav1.MicroTime`.
    MicroTime,
    /// `resource.Quantity`.
    Quantity,
    /// `intstr.IntOrString`.
    IntOrString,
    /// Anything.
    Any,
}

/// `x-kubernetes-list-type`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListType {
    /// Owned as a whole.
    Atomic,
    /// Distinct scalars.
    Set,
    /// Objects told apart by these keys.
    Map(Vec<String>),
}

impl Type {
    /// Go's name of the type, as wrong-type errors print it.
    pub fn go_name(&self) -> String {
        match self {
            Type::Struct(definition) => {
                format!("{}.{}", go_package(&definition.name), definition.go_name)
            }
            Type::Map(item) => format!("map[string]{}", item.go_name()),
            Type::List(item, _) => format!("[]{}", item.go_name()),
            Type::String => "string".to_owned(),
            Type::Bytes => "[]uint8".to_owned(),
            Type::Int32 => "int32".to_owned(),
            Type::Int64 => "int64".to_owned(),
            Type::Number => "float64".to_owned(),
            Type::Bool => "bool".to_owned(),
            Type::Time => "v1.Time".to_owned(),
            Type::MicroTime => "v1.MicroTime".to_owned(),
            Type::Quantity => "resource.Quantity".to_owned(),
            Type::IntOrString => "intstr.IntOrString".to_owned(),
            Type::Any => "interface {}".to_owned(),
        }
    }
}

fn go_package(name: &str) -> &str {
    name.rsplit('.').nth(1).unwrap_or("v1")
}

impl Schema {
    /// The schema of a built-in type.
    pub fn of<T: schemars::JsonSchema>() -> Arc<Schema> {
        let mut library = library();
        let name = T::schema_name().into_owned();
        // The reference is not wanted, the definition it leaves in the generator is.
        drop(library.generator.subschema_for::<T>());
        let root = library.compile(&name);
        Arc::new(Schema { name, root })
    }

    /// The field at a path of field names (list items and map values are stepped through).
    pub fn field(&self, path: &[&str]) -> Option<&Field> {
        let mut definition = &self.root;
        let (last, parents) = path.split_last()?;
        for name in parents {
            let mut kind = &definition.fields.get(*name)?.kind;
            while let Type::List(item, _) | Type::Map(item) = kind {
                kind = item;
            }
            let Type::Struct(next) = kind else {
                return None;
            };
            definition = next;
        }
        definition.fields.get(*last)
    }
}

/// The JSON form of a definition, with the overlay's extensions; references read `#/$defs/NAME`.
pub fn json_definition(name: &str) -> Option<Value> {
    let library = library();
    let mut definition = library.generator.definitions().get(name)?.clone();
    decorate(name, &mut definition);
    Some(definition)
}

/// Makes sure the definitions of a type that is no kind of its own (options, lists) can be found by [`json_definition`].
pub fn register<T: schemars::JsonSchema>() -> String {
    drop(library().generator.subschema_for::<T>());
    T::schema_name().into_owned()
}

struct Library {
    generator: schemars::SchemaGenerator,
    compiled: BTreeMap<String, Arc<Definition>>,
}

fn library() -> std::sync::MutexGuard<'static, Library> {
    static LIBRARY: OnceLock<Mutex<Library>> = OnceLock::new();
    LIBRARY
        .get_or_init(|| {
            Mutex::new(Library {
                generator: schemars::SchemaGenerator::default(),
                compiled: BTreeMap::new(),
            })
        })
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
}

impl Library {
    fn compile(&mut self, name: &str) -> Arc<Definition> {
        let raw = std::mem::take(self.generator.definitions_mut());
        let definition = self.definition(name, &raw, &mut Vec::new());
        *self.generator.definitions_mut() = raw;
        definition
    }

    fn definition(
        &mut self,
        name: &str,
        raw: &Map<String, Value>,
        open: &mut Vec<String>,
    ) -> Arc<Definition> {
        if let Some(done) = self.compiled.get(name) {
            return Arc::clone(done);
        }
        open.push(name.to_owned());
        let empty = Map::new();
        let json = raw.get(name);
        let properties = json
            .and_then(|j| j.get("properties"))
            .and_then(Value::as_object)
            .unwrap_or(&empty);
        let required: Vec<&str> = json
            .and_then(|j| j.get("required"))
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        let overlay = overlay(name);
        let mut fields = BTreeMap::new();
        for (field, schema) in properties.iter().filter(|(f, _)| !is_later(name, f)) {
            let attributes = overlay
                .and_then(|o| o.get(field.as_str()))
                .cloned()
                .unwrap_or_default();
            let kind = self.kind(schema, &attributes, raw, open);
            fields.insert(
                field.clone(),
                attributes.field(kind, required.contains(&field.as_str())),
            );
        }
        let definition = Arc::new(Definition {
            name: name.to_owned(),
            go_name: name.rsplit('.').next().unwrap_or(name).to_owned(),
            atomic: overlay.and_then(|o| o.get("*")).is_some_and(|a| a.atomic),
            fields,
        });
        open.pop();
        self.compiled
            .insert(name.to_owned(), Arc::clone(&definition));
        definition
    }

    fn kind(
        &mut self,
        schema: &Value,
        attributes: &Attributes,
        raw: &Map<String, Value>,
        open: &mut Vec<String>,
    ) -> Type {
        if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
            let name = reference.rsplit('/').next().unwrap_or(reference);
            return self.referred(name, raw, open);
        }
        let text = |key: &str| schema.get(key).and_then(Value::as_str).unwrap_or("");
        match (text("type"), text("format")) {
            ("string", "byte") => Type::Bytes,
            ("string", _) => Type::String,
            ("integer", "int32") => Type::Int32,
            ("integer", _) => Type::Int64,
            ("number", _) => Type::Number,
            ("boolean", _) => Type::Bool,
            ("array", _) => {
                let item = schema.get("items").map_or(Type::Any, |items| {
                    self.kind(items, &Attributes::default(), raw, open)
                });
                Type::List(
                    Box::new(item),
                    attributes.list.clone().unwrap_or(ListType::Atomic),
                )
            }
            ("object", _) => match schema.get("additionalProperties") {
                Some(item) if item.is_object() => {
                    Type::Map(Box::new(self.kind(item, &Attributes::default(), raw, open)))
                }
                _ => Type::Any,
            },
            _ => Type::Any,
        }
    }

    fn referred(&mut self, name: &str, raw: &Map<String, Value>, open: &mut Vec<String>) -> Type {
        match name.rsplit('.').next().unwrap_or(name) {
            "Time" => Type::Time,
            "MicroTime" => Type::MicroTime,
            "Quantity" => Type::Quantity,
            "IntOrString" => Type::IntOrString,
            // A schema that contains itself keeps what it is given.
            _ if open.iter().any(|o| o == name) => Type::Any,
            _ if raw.get(name).and_then(|d| d.get("properties")).is_none() => Type::Any,
            _ => Type::Struct(self.definition(name, raw, open)),
        }
    }
}

#[derive(Clone, Debug, Default)]
struct Attributes {
    list: Option<ListType>,
    atomic: bool,
    patch: PatchStrategy,
    default: Option<String>,
    go_type: Option<String>,
    values: Vec<String>,
    value: bool,
    pointer: bool,
    always: bool,
}

impl Attributes {
    fn parse(text: &str) -> Attributes {
        let mut attributes = Attributes::default();
        for part in text.split(';').filter(|p| !p.is_empty()) {
            let (name, argument) = part.split_once('=').unwrap_or((part, ""));
            match name {
                "map" => {
                    attributes.list = Some(ListType::Map(
                        argument.split(',').map(str::to_owned).collect(),
                    ));
                }
                "set" => attributes.list = Some(ListType::Set),
                "atomic" => (attributes.list, attributes.atomic) = (Some(ListType::Atomic), true),
                "merge" => {
                    attributes.patch.merge = true;
                    attributes.patch.key = (!argument.is_empty()).then(|| argument.to_owned());
                }
                "retain" => attributes.patch.retain_keys = true,
                "default" => attributes.default = Some(argument.to_owned()),
                "enum" => {
                    let (go_type, values) = argument.split_once(':').unwrap_or((argument, ""));
                    attributes.go_type = Some(format!("v1.{go_type}"));
                    attributes.values = values.split(',').map(str::to_owned).collect();
                }
                "value" => attributes.value = true,
                "ptr" => attributes.pointer = true,
                "struct" => attributes.always = true,
                other => debug_assert!(false, "unknown overlay attribute {other}"),
            }
        }
        attributes
    }

    fn field(self, kind: Type, required: bool) -> Field {
        let empty = match &kind {
            _ if required => Empty::Required,
            _ if self.always => Empty::Always,
            Type::List(..) | Type::Map(_) | Type::Bytes => Empty::Dropped,
            Type::String if self.pointer => Empty::Kept,
            Type::String | Type::Time | Type::MicroTime => Empty::Dropped,
            Type::Bool | Type::Int32 | Type::Int64 if self.value => Empty::Dropped,
            _ => Empty::Kept,
        };
        let atomic = self.atomic || matches!(&kind, Type::Struct(definition) if definition.atomic);
        Field {
            kind,
            empty,
            patch: self.patch,
            atomic,
            default: self.default.map(Value::from),
            go_type: self.go_type,
        }
    }

    fn decorate(&self, schema: &mut Map<String, Value>) {
        let is_array = schema.get("type").and_then(Value::as_str) == Some("array");
        if is_array {
            match &self.list {
                Some(ListType::Map(keys)) => {
                    schema.insert(
                        "x-kubernetes-list-map-keys".to_owned(),
                        Value::from(keys.clone()),
                    );
                    schema.insert("x-kubernetes-list-type".to_owned(), Value::from("map"));
                }
                Some(ListType::Set) => {
                    drop(schema.insert("x-kubernetes-list-type".to_owned(), Value::from("set")));
                }
                Some(ListType::Atomic) => {
                    drop(schema.insert("x-kubernetes-list-type".to_owned(), Value::from("atomic")));
                }
                None => {}
            }
        } else if self.atomic {
            schema.insert("x-kubernetes-map-type".to_owned(), Value::from("atomic"));
        }
        let strategies: Vec<&str> = [
            (self.patch.merge, "merge"),
            (self.patch.retain_keys, "retainKeys"),
        ]
        .into_iter()
        .filter(|(on, _)| *on)
        .map(|(_, s)| s)
        .collect();
        if !strategies.is_empty() {
            schema.insert(
                "x-kubernetes-patch-strategy".to_owned(),
                Value::from(strategies.join(",")),
            );
        }
        if let Some(key) = &self.patch.key {
            schema.insert(
                "x-kubernetes-patch-merge-key".to_owned(),
                Value::from(key.as_str()),
            );
        }
        if let Some(default) = &self.default {
            schema.insert("default".to_owned(), Value::from(default.as_str()));
        }
        if !self.values.is_empty() {
            schema.insert("enum".to_owned(), Value::from(self.values.clone()));
        }
    }
}

/// Whether a field is newer than the Kubernetes we behave like.
fn is_later(name: &str, field: &str) -> bool {
    LATER
        .lines()
        .filter_map(|line| line.split_once(' '))
        .filter(|(definition, _)| name.strip_prefix("io.k8s.api.") == Some(definition))
        .any(|(_, fields)| fields.split(' ').any(|f| f == field))
}

fn decorate(name: &str, definition: &mut Value) {
    let properties = definition
        .get_mut("properties")
        .and_then(Value::as_object_mut);
    if let Some(properties) = properties {
        properties.retain(|field, _| !is_later(name, field));
    }
    // k8s-openapi has some fields in every object and says so; upstream asks metadata of Events alone, and no name of a reference.
    let optional = match name {
        "io.k8s.api.core.v1.Event" => "",
        "io.k8s.api.core.v1.LocalObjectReference" => "name",
        _ => "metadata",
    };
    if !optional.is_empty()
        && let Some(map) = definition.as_object_mut()
        && let Some(required) = map.get_mut("required").and_then(Value::as_array_mut)
    {
        required.retain(|field| field != optional);
        if required.is_empty() {
            map.remove("required");
        }
    }
    let Some(overlay) = overlay(name) else { return };
    for (field, attributes) in overlay {
        let target = if *field == "*" {
            Some(&mut *definition)
        } else {
            definition.pointer_mut(&format!("/properties/{field}"))
        };
        if let Some(schema) = target.and_then(Value::as_object_mut) {
            attributes.decorate(schema);
        }
    }
}

type Overlay = BTreeMap<&'static str, BTreeMap<&'static str, Attributes>>;

fn overlay(name: &str) -> Option<&'static BTreeMap<&'static str, Attributes>> {
    static TABLE: OnceLock<Overlay> = OnceLock::new();
    let table = TABLE.get_or_init(|| {
        OVERLAY
            .lines()
            .filter(|line| !line.is_empty())
            .map(|line| {
                let mut words = line.split_whitespace();
                let definition = words.next().unwrap_or_default();
                let fields = words.filter_map(|word| {
                    let (field, rest) = word.split_once('[')?;
                    Some((field, Attributes::parse(rest.strip_suffix(']')?)))
                });
                (definition, fields.collect())
            })
            .collect()
    });
    let short = name
        .strip_prefix("io.k8s.api.")
        .or_else(|| name.strip_prefix("io.k8s.apimachinery.pkg.apis."))?;
    table.get(short)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_overlay_line_names_a_field_that_exists_where_its_definition_is_known() {
        let registry = crate::registry::Registry::builtin();
        assert!(registry.rows().all(|row| row.schema.is_some()));
        for line in OVERLAY.lines().filter(|l| !l.is_empty()) {
            let mut words = line.split_whitespace();
            let short = words.next().unwrap();
            let known = ["io.k8s.api.", "io.k8s.apimachinery.pkg.apis."]
                .iter()
                .find_map(|p| json_definition(&format!("{p}{short}")));
            let Some(definition) = known else { continue };
            for field in words
                .filter_map(|w| w.split_once('['))
                .map(|(f, _)| f)
                .filter(|f| *f != "*")
            {
                assert!(
                    definition
                        .pointer(&format!("/properties/{field}"))
                        .is_some(),
                    "{short} has no field {field}"
                );
            }
        }
    }

    #[test]
    fn fields_of_later_versions_are_unknown() {
        let registry = crate::registry::Registry::builtin();
        assert!(registry.rows().count() > 15);
        let library = library().generator.definitions().clone();
        for line in LATER.lines().filter(|l| !l.is_empty()) {
            let mut words = line.split(' ');
            let name = format!("io.k8s.api.{}", words.next().unwrap());
            for field in words {
                assert!(
                    library[&name]
                        .pointer(&format!("/properties/{field}"))
                        .is_some(),
                    "{name} {field}"
                );
            }
        }
        let shown = json_definition("io.k8s.api.core.v1.Container").unwrap();
        assert!(shown.pointer("/properties/restartPolicyRules").is_none());
    }

    #[test]
    fn the_shape_of_a_pod_is_known() {
        let schema = Schema::of::<k8s_openapi::api::core::v1::Pod>();
        let cases: &[(&[&str], &str)] = &[
            (&["spec", "containers"], "[]v1.Container"),
            (&["spec", "containers", "ports", "containerPort"], "int32"),
            (
                &["spec", "containers", "resources", "limits"],
                "map[string]resource.Quantity",
            ),
            (&["metadata", "labels"], "map[string]string"),
            (&["metadata", "creationTimestamp"], "v1.Time"),
        ];
        for (path, go) in cases {
            assert_eq!(schema.field(path).unwrap().kind.go_name(), *go, "{path:?}");
        }
        assert_eq!(
            schema
                .field(&["spec", "containers"])
                .unwrap()
                .patch
                .key
                .as_deref(),
            Some("name")
        );
    }
}
