//! From words, selectors and files to objects.
//!
//! 1. A command says what it takes with a [`Selection`].
//! 2. [`Selection::requests`] turns that into [`Request`]s: one object, a list, or a manifest, without asking for objects yet.
//! 3. [`Selection::infos`] asks for them, lists taken apart.
// upstream: cli-runtime/pkg/resource/{builder,visitor}.go

use serde_json::Value;

use crate::discovery::Mapping;
use crate::factory::Factory;
use crate::failure::Failure;
use crate::rest::Call;

/// What a command works on.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// `-f`
    pub filenames: Vec<String>,
    /// `-k`
    pub kustomize: String,
    /// `-R`
    pub recursive: bool,
    /// `TYPE NAME...`, `TYPE/NAME...`
    pub words: Vec<String>,
    /// `-l`
    pub labels: Option<String>,
    /// `--field-selector`
    pub fields: String,
    /// `--all`, or no names for a command that lists.
    pub all: bool,
    /// `-A`
    pub all_namespaces: bool,
    /// Where names are looked up.
    pub namespace: String,
    /// Whether manifests must agree with the namespace.
    pub enforced: bool,
    /// Take a subresource.
    pub subresource: String,
    /// How many objects a part of a list has.
    pub chunk: i64,
    /// Whether the server is not asked.
    pub local: bool,
    /// The type of words that are names alone.
    pub default_type: String,
}

/// An object, where it lives and where it came from.
#[derive(Debug, Clone, Default)]
pub struct Info {
    /// Its kind.
    pub mapping: Mapping,
    /// Its namespace; empty for what has none.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The file it came from, or nothing.
    pub source: String,
    /// The object.
    pub object: Value,
}

impl Info {
    /// Its path.
    pub fn path(&self) -> String {
        self.mapping.path(&self.namespace, &self.name)
    }

    /// `deployment.apps/web`.
    pub fn word(&self) -> String {
        format!("{}/{}", self.mapping.group_kind_word(), self.name)
    }

    /// Ask for it again.
    pub async fn get(&self, factory: &Factory) -> Result<Value, Failure> {
        factory.call(Call::get(self.path())).await
    }
}

/// One thing to ask for.
#[derive(Debug, Clone)]
pub enum Request {
    /// One object.
    One(Mapping, String, String),
    /// A list in a namespace, or everywhere.
    List(Mapping, String),
    /// What a file says.
    Manifest(Info),
}
