//! Sets of fields: what `fieldsV1` writes, and what of an object belongs into one.
//!
//! A set is a tree whose edges are path elements as fieldsV1 spells them (`f:name`, `k:{"name":"a"}`, `v:"x"`). [`of`] gives the set
//! of all fields of a value, [`compare`] those in which two values differ; both descend only as far as the schema says that parts
//! can be owned apart.
// upstream: sigs.k8s.io/structured-merge-diff fieldpath, typed (toFieldSetWalker, compareWalker)

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use crate::schema::{Definition, Empty, ListType, Type};

/// A set of fields.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct FieldSet {
    /// Whether the field at this place is itself in the set.
    pub(crate) member: bool,
    /// What is below.
    pub(crate) children: BTreeMap<String, FieldSet>,
}

impl FieldSet {
    /// Reads fieldsV1.
    pub(crate) fn parse(fields: &Value) -> FieldSet {
        let children = fields
            .as_object()
            .into_iter()
            .flatten()
            .filter(|(key, _)| *key != ".")
            .map(|(key, below)| {
                let mut child = FieldSet::parse(below);
                child.member = child.children.is_empty() || below.get(".").is_some();
                (key.clone(), child)
            })
            .collect();
        FieldSet {
            member: false,
            children,
        }
    }

    /// Writes fieldsV1.
    pub(crate) fn to_value(&self) -> Value {
        let mut out = Map::new();
        if self.member && !self.children.is_empty() {
            out.insert(".".to_owned(), json!({}));
        }
        for (key, child) in &self.children {
            out.insert(key.clone(), child.to_value());
        }
        Value::Object(out)
    }

    /// Whether nothing is in it.
    pub(crate) fn is_empty(&self) -> bool {
        !self.member && self.children.values().all(FieldSet::is_empty)
    }

    /// Adds a path.
    pub(crate) fn insert(&mut self, path: &[String]) {
        let mut node = self;
        for element in path {
            node = node.children.entry(element.clone()).or_default();
        }
        node.member = true;
    }

    /// All that is in either.
    pub(crate) fn union(&self, other: &FieldSet) -> FieldSet {
        let mut out = self.clone();
        out.member |= other.member;
        for (key, child) in &other.children {
            let mine = out.children.entry(key.clone()).or_default();
            *mine = mine.union(child);
        }
        out
    }

    /// What is in this one only.
    pub(crate) fn difference(&self, other: &FieldSet) -> FieldSet {
        self.filtered(other, |mine, theirs| mine && !theirs)
    }

    /// What is in both.
    pub(crate) fn intersection(&self, other: &FieldSet) -> FieldSet {
        self.filtered(other, |mine, theirs| mine && theirs)
    }

    fn filtered(&self, other: &FieldSet, keep: fn(bool, bool) -> bool) -> FieldSet {
        let nothing = FieldSet::default();
        let children = self.children.iter().filter_map(|(key, child)| {
            let theirs = other.children.get(key).unwrap_or(&nothing);
            let left = child.filtered(theirs, keep);
            (!left.is_empty()).then(|| (key.clone(), left))
        });
        FieldSet {
            member: keep(self.member, other.member),
            children: children.collect(),
        }
    }

    /// Its paths as conflicts show them: `.spec.containers[name="a"].image`.
    pub(crate) fn paths(&self) -> Vec<String> {
        let mut out = Vec::new();
        self.collect_paths("", &mut out);
        out
    }

    fn collect_paths(&self, prefix: &str, out: &mut Vec<String>) {
        if self.member {
            out.push(prefix.to_owned());
        }
        for (key, child) in &self.children {
            child.collect_paths(&format!("{prefix}{}", shown(key)), out);
        }
    }
}

fn shown(element: &str) -> String {
    match element.split_once(':') {
        Some(("f", name)) => format!(".{name}"),
        Some(("v", value)) => format!("[={value}]"),
        Some(("i", index)) => format!("[{index}]"),
        Some(("k", keys)) => {
            let keys: Map<String, Value> = serde_json::from_str(keys).unwrap_or_default();
            let keys: Vec<String> = keys
                .iter()
                .map(|(key, value)| format!("{key}={value}"))
                .collect();
            format!("[{}]", keys.join(","))
        }
        _ => element.to_owned(),
    }
}

/// How a value is divided into parts that can be owned apart.
pub(crate) enum Shape<'a> {
    /// Not at all.
    Leaf,
    /// By its known fields.
    Struct(&'a Definition),
    /// By its keys.
    Map(&'a Type),
    /// By its items.
    List(&'a Type, &'a ListType),
    /// Nothing is known: objects by their keys, all else not at all.
    Deduced,
}

/// The shape of a type; `atomic` is the field's word.
pub(crate) fn shape(kind: &Type, atomic: bool) -> Shape<'_> {
    match kind {
        _ if atomic => Shape::Leaf,
        Type::Struct(definition) if definition.atomic => Shape::Leaf,
        Type::Struct(definition) => Shape::Struct(definition),
        Type::Map(item) => Shape::Map(item),
        Type::List(_, ListType::Atomic) => Shape::Leaf,
        Type::List(item, list) => Shape::List(item, list),
        Type::Any => Shape::Deduced,
        _ => Shape::Leaf,
    }
}

/// The path element of a list item.
pub(crate) fn item_element(list: &ListType, item_type: &Type, item: &Value) -> String {
    match list {
        ListType::Map(keys) => {
            let mut shown = Map::new();
            let mut sorted = keys.clone();
            sorted.sort();
            for key in sorted {
                let default = match item_type {
                    Type::Struct(definition) => {
                        definition.fields.get(&key).and_then(|f| f.default.clone())
                    }
                    _ => None,
                };
                if let Some(value) = item.get(&key).cloned().or(default) {
                    shown.insert(key, value);
                }
            }
            format!("k:{}", Value::Object(shown))
        }
        ListType::Set | ListType::Atomic => format!("v:{item}"),
    }
}

/// All fields of a value.
pub(crate) fn of(value: &Value, kind: &Type) -> FieldSet {
    let mut set = FieldSet::default();
    collect(value, kind, false, &mut set);
    set.member = false;
    set
}

fn collect(value: &Value, kind: &Type, atomic: bool, set: &mut FieldSet) {
    let hollow = |v: &Value| v.is_null() || v.as_object().is_some_and(Map::is_empty);
    match (shape(kind, atomic), value) {
        (Shape::Struct(definition), Value::Object(map)) => {
            for (name, value) in map {
                let child = set.children.entry(format!("f:{name}")).or_default();
                match definition.fields.get(name) {
                    Some(field) => collect(value, &field.kind, field.atomic, child),
                    None => child.member = true,
                }
                child.member |= hollow(value);
            }
        }
        (Shape::Map(item), Value::Object(map)) => {
            for (name, value) in map {
                let child = set.children.entry(format!("f:{name}")).or_default();
                collect(value, item, false, child);
                child.member = true;
            }
        }
        (Shape::Deduced, Value::Object(map)) => {
            for (name, value) in map {
                let child = set.children.entry(format!("f:{name}")).or_default();
                collect(value, &Type::Any, false, child);
                child.member |= hollow(value);
            }
        }
        (Shape::List(item_type, list), Value::Array(items)) => {
            for item in items {
                let child = set
                    .children
                    .entry(item_element(list, item_type, item))
                    .or_default();
                collect(item, item_type, false, child);
                child.member = true;
            }
        }
        _ => set.member = true,
    }
}

/// In what two values differ.
#[derive(Debug, Default)]
pub(crate) struct Comparison {
    /// Only in the new one, or with another value there.
    pub(crate) touched: FieldSet,
    /// Only in the old one.
    pub(crate) removed: FieldSet,
}

/// Compares an object (nothing, for a create) with the one that takes its place.
pub(crate) fn compare(old: Option<&Value>, new: &Value, kind: &Type) -> Comparison {
    let mut walk = Walk {
        path: Vec::new(),
        out: Comparison::default(),
    };
    walk.compare(old, Some(new), kind, false, true);
    walk.out.touched.member = false;
    walk.out.removed.member = false;
    walk.out
}

struct Walk {
    path: Vec<String>,
    out: Comparison,
}

impl Walk {
    /// `implied`: Go has the field even in an empty object, so that it cannot be added.
    fn compare(
        &mut self,
        old: Option<&Value>,
        new: Option<&Value>,
        kind: &Type,
        atomic: bool,
        implied: bool,
    ) {
        match (old, new) {
            (None, None) => return,
            (Some(old), Some(new)) if old == new => return,
            (None, Some(_)) if !implied => self.out.touched.insert(&self.path),
            (Some(_), None) => self.out.removed.insert(&self.path),
            _ => {}
        }
        let there = old.is_some() || implied;
        match shape(kind, atomic) {
            Shape::Struct(definition) => self.keys(old, new, |name| {
                let Some(field) = definition.fields.get(name) else {
                    return (&Type::Any, true, false);
                };
                let implied = there && matches!(field.empty, Empty::Required | Empty::Always);
                (&field.kind, field.atomic, implied)
            }),
            Shape::Map(item) => self.keys(old, new, |_| (item, false, false)),
            Shape::Deduced if both_objects(old, new) => {
                self.keys(old, new, |_| (&Type::Any, false, false));
            }
            Shape::List(item_type, list) => self.items(old, new, item_type, list),
            Shape::Leaf | Shape::Deduced => {
                if new.is_some() {
                    self.out.touched.insert(&self.path);
                }
            }
        }
    }

    fn keys<'t>(
        &mut self,
        old: Option<&Value>,
        new: Option<&Value>,
        field: impl Fn(&str) -> (&'t Type, bool, bool),
    ) {
        let map = |value: Option<&Value>| {
            value
                .and_then(Value::as_object)
                .cloned()
                .unwrap_or_default()
        };
        let (old, new) = (map(old), map(new));
        let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
        for name in names {
            let (kind, atomic, implied) = field(name);
            self.path.push(format!("f:{name}"));
            self.compare(old.get(name), new.get(name), kind, atomic, implied);
            self.path.pop();
        }
    }

    fn items(
        &mut self,
        old: Option<&Value>,
        new: Option<&Value>,
        item_type: &Type,
        list: &ListType,
    ) {
        let index = |value: Option<&Value>| -> BTreeMap<String, Value> {
            value
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
                .map(|item| (item_element(list, item_type, item), item.clone()))
                .collect()
        };
        let (old, new) = (index(old), index(new));
        let elements: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
        for element in elements {
            self.path.push(element.clone());
            self.compare(old.get(element), new.get(element), item_type, false, false);
            self.path.pop();
        }
    }
}

fn both_objects(old: Option<&Value>, new: Option<&Value>) -> bool {
    [old, new].into_iter().flatten().all(Value::is_object)
}
