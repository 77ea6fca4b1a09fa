//! The resource table: one row per served kind.
//!
//! A [`Resource`] says everything the server must know of a kind that is not special; what is special is its [`Rules`]. Built-in rows
//! come from [`crate::groups`]; custom resources are inserted at run time and are the same type. A [`Registry`] is a cheap-to-clone
//! value: the server swaps it for a new one when a row comes or goes.

use std::{collections::BTreeMap, fmt, sync::Arc};

use jiff::Timestamp;
use serde_json::Value;

use crate::{field_error::FieldError, schema::Schema};

/// Whether objects of a kind live in a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// One set of names for the whole cluster.
    Cluster,
    /// One set of names per namespace.
    Namespaced,
}

/// A subresource the server knows how to serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subresource {
    /// `status`: writes touch only `.status` (and metadata).
    Status,
    /// `scale`: the autoscaling/v1 Scale view.
    Scale,
    /// `log` of a Pod.
    Log,
    /// `exec` in a Pod.
    Exec,
    /// `attach` to a Pod.
    Attach,
    /// `portforward` to a Pod.
    PortForward,
    /// `proxy` to a Pod, Service or Node.
    Proxy,
    /// `binding` of a Pod to a Node.
    Binding,
    /// `eviction` of a Pod.
    Eviction,
    /// `ephemeralcontainers` of a Pod.
    EphemeralContainers,
    /// `token` of a ServiceAccount (TokenRequest).
    Token,
    /// `finalize` of a Namespace.
    Finalize,
}

impl Subresource {
    /// Every subresource, for parsing.
    pub const ALL: [Subresource; 12] = [
        Subresource::Status,
        Subresource::Scale,
        Subresource::Log,
        Subresource::Exec,
        Subresource::Attach,
        Subresource::PortForward,
        Subresource::Proxy,
        Subresource::Binding,
        Subresource::Eviction,
        Subresource::EphemeralContainers,
        Subresource::Token,
        Subresource::Finalize,
    ];

    /// The path segment.
    pub fn name(self) -> &'static str {
        match self {
            Subresource::Status => "status",
            Subresource::Scale => "scale",
            Subresource::Log => "log",
            Subresource::Exec => "exec",
            Subresource::Attach => "attach",
            Subresource::PortForward => "portforward",
            Subresource::Proxy => "proxy",
            Subresource::Binding => "binding",
            Subresource::Eviction => "eviction",
            Subresource::EphemeralContainers => "ephemeralcontainers",
            Subresource::Token => "token",
            Subresource::Finalize => "finalize",
        }
    }

    /// The subresource with this path segment.
    pub fn parse(name: &str) -> Option<Subresource> {
        Subresource::ALL.into_iter().find(|s| s.name() == name)
    }

    /// `(group, version, kind)` of what the subresource exchanges, `None` where it is the parent kind itself.
    pub fn exchanged_kind(self) -> Option<(&'static str, &'static str, &'static str)> {
        match self {
            Subresource::Scale => Some(("autoscaling", "v1", "Scale")),
            Subresource::Exec => Some(("", "v1", "PodExecOptions")),
            Subresource::Attach => Some(("", "v1", "PodAttachOptions")),
            Subresource::PortForward => Some(("", "v1", "PodPortForwardOptions")),
            Subresource::Binding => Some(("", "v1", "Binding")),
            Subresource::Eviction => Some(("policy", "v1", "Eviction")),
            Subresource::Token => Some(("authentication.k8s.io", "v1", "TokenRequest")),
            Subresource::Status
            | Subresource::Log
            | Subresource::Proxy
            | Subresource::EphemeralContainers
            | Subresource::Finalize => None,
        }
    }

    /// The verbs discovery lists for it.
    pub fn verbs(self) -> &'static [&'static str] {
        match self {
            Subresource::Status | Subresource::Scale | Subresource::EphemeralContainers => {
                &["get", "patch", "update"]
            }
            Subresource::Log => &["get"],
            Subresource::Exec | Subresource::Attach | Subresource::PortForward => {
                &["create", "get"]
            }
            Subresource::Proxy => &["create", "delete", "get", "patch", "update"],
            Subresource::Binding | Subresource::Eviction | Subresource::Token => &["create"],
            Subresource::Finalize => &["update"],
        }
    }
}

/// One column of the server-side Table.
#[derive(Clone, Debug)]
pub struct Column {
    /// Header, as `kubectl get` prints it in capitals.
    pub name: String,
    /// OpenAPI type: `string`, `integer`, `number`, `boolean` or `date`.
    pub kind: String,
    /// OpenAPI format; `name` marks the identity column.
    pub format: String,
    /// What the column means.
    pub description: String,
    /// 0 is always shown, above 0 only with `-o wide`.
    pub priority: i32,
    /// For rows without own cell code: the JSONPath of the value.
    pub json_path: Option<String>,
}

impl Column {
    /// A string column that is always shown.
    pub fn new(name: &str, description: &str) -> Column {
        Column {
            name: name.to_owned(),
            kind: "string".to_owned(),
            format: if name == "Name" {
                "name".to_owned()
            } else {
                String::new()
            },
            description: description.to_owned(),
            priority: 0,
            json_path: None,
        }
    }

    /// The same column shown only with `-o wide`.
    pub fn wide(mut self) -> Column {
        self.priority = 1;
        self
    }

    /// The same column with integer cells.
    pub fn integer(mut self) -> Column {
        self.kind = "integer".to_owned();
        self
    }
}

/// The only per-kind code. Every method defaults to "nothing special".
pub trait Rules: Send + Sync {
    /// Brings old spellings to the stored one (deprecated aliases, omitted empties) before defaulting.
    fn normalise(&self, _new: &mut Value) {}
    /// Fills what the writer left out.
    fn set_defaults(&self, _new: &mut Value) {}
    /// Drops what a creator may not set.
    fn prepare_create(&self, _new: &mut Value) {}
    /// Restores what an updater may not change.
    fn prepare_update(&self, _new: &mut Value, _old: &Value) {}
    /// Restores what a write to a subresource may not change, besides what [`crate::write::prepare_update`] keeps.
    fn prepare_subresource_update(
        &self,
        _subresource: Subresource,
        _new: &mut Value,
        _old: &Value,
    ) {
    }
    /// Whether a creator may set `status` (Nodes register with theirs).
    fn keeps_status_on_create(&self) -> bool {
        false
    }
    /// Whether the name is one; the default is a DNS subdomain.
    fn validate_name(&self, name: &str, prefix: NamePrefix) -> Vec<String> {
        crate::meta::dns_subdomain_messages(name, prefix)
    }
    /// Field errors of the whole object (metadata is checked elsewhere).
    fn validate(&self, _new: &Value) -> Vec<FieldError> {
        Vec::new()
    }
    /// Field errors of a change to the main resource, besides those of [`Rules::validate`].
    fn validate_update(&self, _new: &Value, _old: &Value) -> Vec<FieldError> {
        Vec::new()
    }
    /// Field errors of a write to `status`.
    fn validate_status_update(&self, _new: &Value, _old: &Value) -> Vec<FieldError> {
        Vec::new()
    }
    /// Warnings for the `Warning:` header.
    fn warnings(&self, _new: &Value) -> Vec<String> {
        Vec::new()
    }
    /// The cells of one Table row, in the order of the columns; `None` uses the generic ones (name, age, JSONPaths).
    fn cells(&self, _object: &Value, _now: Timestamp) -> Option<Vec<Value>> {
        None
    }
    /// The conditions of one Table row (a finished Pod is `Completed`).
    fn row_conditions(&self, _object: &Value) -> Vec<Value> {
        Vec::new()
    }
    /// The value of a field label for field selectors, where it is not simply the value at that path.
    fn field(&self, _object: &Value, _label: &str) -> Option<String> {
        None
    }
    /// The grace period of a delete in seconds, for rows with [`Resource::graceful`] set: what was asked, or the kind's own.
    fn grace_period(&self, _object: &Value, asked: Option<i64>) -> i64 {
        asked.unwrap_or(0)
    }
    /// Whether the object itself keeps a deletion waiting, besides its metadata's finalizers (a Namespace with content).
    fn holds_deletion(&self, _object: &Value) -> bool {
        false
    }
    /// Notes in the object that its deletion has begun.
    fn deletion_marked(&self, _object: &mut Value) {}
    /// Converts from this row's version to the stored one.
    fn to_storage(&self, _object: &mut Value) {}
    /// Converts from the stored version to this row's.
    #[expect(
        clippy::wrong_self_convention,
        reason = "the storage is where the object comes from, not the rules"
    )]
    fn from_storage(&self, _object: &mut Value) {}
}

/// Whether a name under validation is complete or a `generateName` prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NamePrefix {
    /// The whole name.
    Complete,
    /// A prefix to which a suffix will be added: it may end in `-`.
    Prefix,
}

/// Nothing special.
#[derive(Clone, Copy, Debug, Default)]
pub struct Plain;

impl Rules for Plain {}

/// One row of the table: a kind as served in one group and version.
#[derive(Clone)]
pub struct Resource {
    /// API group, empty for core.
    pub group: String,
    /// Served version.
    pub version: String,
    /// Kind.
    pub kind: String,
    /// Plural name, the path segment.
    pub plural: String,
    /// Singular name.
    pub singular: String,
    /// Short names.
    pub short_names: Vec<String>,
    /// Categories such as `all`.
    pub categories: Vec<String>,
    /// Cluster or namespaced.
    pub scope: Scope,
    /// Verbs, sorted. A kind without `get` is virtual: it is answered, never stored.
    pub verbs: Vec<String>,
    /// Subresources.
    pub subresources: Vec<Subresource>,
    /// Table columns.
    pub columns: Vec<Column>,
    /// Field labels usable in field selectors, besides `metadata.name` and `metadata.namespace`.
    pub selectable_fields: Vec<String>,
    /// Deletion first sets `deletionTimestamp` and waits for someone to confirm with grace period 0.
    pub graceful: bool,
    /// Whether `metadata.generation` is kept.
    pub generation: bool,
    /// Whether PUT to a missing name creates.
    pub create_on_update: bool,
    /// Whether an update without resourceVersion is allowed.
    pub unconditional_update: bool,
    /// `group/plural` under which objects are stored: rows of one kind in several versions share it.
    pub storage: String,
    /// `apiVersion` of the stored form.
    pub storage_api_version: String,
    /// The schema, `None` for a kind that keeps whatever it is given.
    pub schema: Option<Arc<Schema>>,
    /// What is special.
    pub rules: Arc<dyn Rules>,
}

impl fmt::Debug for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Resource({}, {})", self.api_version(), self.kind)
    }
}

const ALL_VERBS: [&str; 8] = [
    "create",
    "delete",
    "deletecollection",
    "get",
    "list",
    "patch",
    "update",
    "watch",
];

impl Resource {
    /// The row of a built-in kind with all verbs: names, scope and schema come from its type.
    pub fn of<T: k8s_openapi::Resource + schemars::JsonSchema>() -> Resource
    where
        T::Scope: 'static,
    {
        let cluster = std::any::TypeId::of::<T::Scope>()
            == std::any::TypeId::of::<k8s_openapi::ClusterResourceScope>();
        let scope = if cluster {
            Scope::Cluster
        } else {
            Scope::Namespaced
        };
        let mut row = Resource::new(T::GROUP, T::VERSION, T::KIND, T::URL_PATH_SEGMENT, scope);
        row.schema = Some(Schema::of::<T>());
        row
    }

    /// A namespaced kind with all verbs and no schema.
    pub fn namespaced(group: &str, version: &str, kind: &str, plural: &str) -> Resource {
        Resource::new(group, version, kind, plural, Scope::Namespaced)
    }

    /// A cluster-wide kind with all verbs and no schema.
    pub fn cluster(group: &str, version: &str, kind: &str, plural: &str) -> Resource {
        Resource::new(group, version, kind, plural, Scope::Cluster)
    }

    fn new(group: &str, version: &str, kind: &str, plural: &str, scope: Scope) -> Resource {
        Resource {
            group: group.to_owned(),
            version: version.to_owned(),
            kind: kind.to_owned(),
            plural: plural.to_owned(),
            singular: kind.to_lowercase(),
            short_names: Vec::new(),
            categories: Vec::new(),
            scope,
            verbs: ALL_VERBS.iter().map(|v| (*v).to_owned()).collect(),
            subresources: Vec::new(),
            columns: vec![
                Column::new("Name", crate::table::NAME_DESCRIPTION),
                Column::new("Age", crate::table::AGE_DESCRIPTION),
            ],
            selectable_fields: Vec::new(),
            graceful: false,
            generation: false,
            create_on_update: false,
            unconditional_update: true,
            storage: if group.is_empty() {
                plural.to_owned()
            } else {
                format!("{group}/{plural}")
            },
            storage_api_version: api_version(group, version),
            schema: None,
            rules: Arc::new(Plain),
        }
    }

    /// With short names.
    pub fn short(mut self, names: &[&str]) -> Resource {
        self.short_names = owned(names);
        self
    }

    /// With categories.
    pub fn categories(mut self, names: &[&str]) -> Resource {
        self.categories = owned(names);
        self
    }

    /// With verbs other than all.
    pub fn verbs(mut self, verbs: &[&str]) -> Resource {
        self.verbs = owned(verbs);
        self
    }

    /// With subresources.
    pub fn subresources(mut self, subresources: &[Subresource]) -> Resource {
        self.subresources = subresources.to_vec();
        self
    }

    /// With Table columns.
    pub fn columns(mut self, columns: Vec<Column>) -> Resource {
        self.columns = columns;
        self
    }

    /// With selectable fields.
    pub fn fields(mut self, fields: &[&str]) -> Resource {
        self.selectable_fields = owned(fields);
        self
    }

    /// Deleted gracefully.
    pub fn graceful(mut self) -> Resource {
        self.graceful = true;
        self
    }

    /// Keeping `metadata.generation`.
    pub fn with_generation(mut self) -> Resource {
        self.generation = true;
        self
    }

    /// Created by PUT to a missing name.
    pub fn create_on_update(mut self) -> Resource {
        self.create_on_update = true;
        self
    }

    /// Stored as another row's objects, for a second version of the same kind.
    pub fn stored_as(mut self, storage: &str, api_version: &str) -> Resource {
        storage.clone_into(&mut self.storage);
        api_version.clone_into(&mut self.storage_api_version);
        self
    }

    /// With rules.
    pub fn rules(mut self, rules: impl Rules + 'static) -> Resource {
        self.rules = Arc::new(rules);
        self
    }

    /// `v1` or `apps/v1`.
    pub fn api_version(&self) -> String {
        api_version(&self.group, &self.version)
    }

    /// `pods` or `deployments.apps`, as in error messages.
    pub fn qualified(&self) -> String {
        if self.group.is_empty() {
            self.plural.clone()
        } else {
            format!("{}.{}", self.plural, self.group)
        }
    }

    /// `Pod` or `Deployment.apps`, as in error messages.
    pub fn qualified_kind(&self) -> String {
        if self.group.is_empty() {
            self.kind.clone()
        } else {
            format!("{}.{}", self.kind, self.group)
        }
    }

    /// Whether objects live in a namespace.
    pub fn is_namespaced(&self) -> bool {
        self.scope == Scope::Namespaced
    }

    /// Whether the kind is stored at all; reviews and bindings are only answered.
    pub fn is_stored(&self) -> bool {
        self.has_verb("get")
    }

    /// Whether the kind has this verb.
    pub fn has_verb(&self, verb: &str) -> bool {
        self.verbs.iter().any(|v| v == verb)
    }

    /// Whether the kind has this subresource.
    pub fn has(&self, subresource: Subresource) -> bool {
        self.subresources.contains(&subresource)
    }

    /// The key prefix of all objects, or of those in one namespace; ends in `/`.
    pub fn prefix(&self, namespace: Option<&str>) -> String {
        match namespace {
            Some(namespace) if self.is_namespaced() => {
                format!("/registry/{}/{namespace}/", self.storage)
            }
            _ => format!("/registry/{}/", self.storage),
        }
    }

    /// The key of one object.
    pub fn key(&self, namespace: Option<&str>, name: &str) -> String {
        format!("{}{name}", self.prefix(namespace))
    }

    /// Turns an object of this row's version into the stored form (apiVersion included).
    pub fn encode_storage(&self, object: &mut Value) {
        if self.storage_api_version != self.api_version() {
            self.rules.to_storage(object);
            object["apiVersion"] = Value::from(self.storage_api_version.as_str());
        }
    }

    /// Turns a stored object into this row's version (apiVersion included).
    pub fn decode_storage(&self, object: &mut Value) {
        if self.storage_api_version != self.api_version() {
            self.rules.from_storage(object);
            object["apiVersion"] = Value::from(self.api_version());
        }
    }

    /// Whether stored bytes can be served as they are.
    pub fn serves_stored_form(&self) -> bool {
        self.storage_api_version == self.api_version()
    }
}

/// `v1` or `apps/v1`.
pub fn api_version(group: &str, version: &str) -> String {
    if group.is_empty() {
        version.to_owned()
    } else {
        format!("{group}/{version}")
    }
}

/// Splits `v1` or `apps/v1` into group and version.
pub fn split_api_version(api_version: &str) -> (&str, &str) {
    api_version.split_once('/').unwrap_or(("", api_version))
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|n| (*n).to_owned()).collect()
}

/// `(group, version, plural)`.
type Key = (String, String, String);

/// All rows. Cloning is cheap.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    rows: Arc<BTreeMap<Key, Arc<Resource>>>,
}

impl Registry {
    /// The registry of the built-in kinds.
    pub fn builtin() -> Registry {
        crate::groups::rows()
            .into_iter()
            .fold(Registry::default(), |registry, row| registry.with(row))
    }

    /// The registry with one more row (or that row replaced).
    #[must_use]
    pub fn with(&self, row: Resource) -> Registry {
        let mut rows = BTreeMap::clone(&self.rows);
        rows.insert(
            (row.group.clone(), row.version.clone(), row.plural.clone()),
            Arc::new(row),
        );
        Registry {
            rows: Arc::new(rows),
        }
    }

    /// The registry without a row.
    #[must_use]
    pub fn without(&self, group: &str, version: &str, plural: &str) -> Registry {
        let mut rows = BTreeMap::clone(&self.rows);
        rows.remove(&(group.to_owned(), version.to_owned(), plural.to_owned()));
        Registry {
            rows: Arc::new(rows),
        }
    }

    /// The row of a path.
    pub fn get(&self, group: &str, version: &str, plural: &str) -> Option<&Arc<Resource>> {
        self.rows
            .get(&(group.to_owned(), version.to_owned(), plural.to_owned()))
    }

    /// The row of a kind.
    pub fn by_kind(&self, api_version: &str, kind: &str) -> Option<&Arc<Resource>> {
        let (group, version) = split_api_version(api_version);
        self.rows
            .values()
            .find(|r| r.kind == kind && r.group == group && r.version == version)
    }

    /// All rows, sorted by group, version and plural.
    pub fn rows(&self) -> impl Iterator<Item = &Arc<Resource>> {
        self.rows.values()
    }

    /// All group versions, core first, then as upstream orders groups.
    pub fn group_versions(&self) -> Vec<(String, String)> {
        let mut all: Vec<(String, String)> = self
            .rows
            .values()
            .map(|r| (r.group.clone(), r.version.clone()))
            .collect();
        all.dedup();
        all.sort_by_key(|(group, version)| {
            (
                crate::discovery::group_priority(group),
                group.clone(),
                version.clone(),
            )
        });
        all
    }

    /// The row that keeps what lies under a storage name (see [`Resource::storage`]).
    pub fn by_storage(&self, storage: &str) -> Option<&Arc<Resource>> {
        self.rows
            .values()
            .find(|r| r.storage == storage && r.serves_stored_form())
    }

    /// Whether a group version is served.
    pub fn has_group_version(&self, group: &str, version: &str) -> bool {
        self.rows
            .values()
            .any(|r| r.group == group && r.version == version)
    }
}
