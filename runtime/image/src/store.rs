//! The image store: unpacked layers that all nodes share, and a record per image that a node has pulled.
//!
//! Where an image comes from, in this order: the [`Library`] (imported, pulled, made by a recipe), the catalogue's bundled
//! images, a registry that the node can reach.
//!
//! `layers/<hex>/` is a layer, complete and read-only. `images/<name>.json` says that this node has the image. The two
//! may lie in different directories ([`StoreDirs`]): nodes share layers as machines with a fast registry would, but
//! each knows only what it has pulled itself.

use std::{
    collections::BTreeSet,
    fs,
    io::{self, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use oci_spec::image::ImageConfiguration;
use serde::{Deserialize, Serialize};

use crate::{
    archive::{EmbeddedLayer, USERLAND},
    catalogue::{Bundled, Catalogue, Entry, Source},
    digest::{Digest, Hashing},
    error::{PullError, StoreError, chain},
    hosts::Host,
    keyring::Keyring,
    library::{Library, Stored},
    portable,
    reference::Reference,
    registry,
    trust::Trust,
    unpack::unpack,
};

/// The label that says an image stands in for other software.
pub(crate) const STAND_IN_LABEL: &str = "io.drydock.stand-in";
pub(crate) const STAND_IN_TEXT_LABEL: &str = "io.drydock.stand-in.description";
/// Bundled images are as old as their first release; a fixed time keeps their digests stable.
const CREATED: &str = "2026-01-01T00:00:00Z";

/// How the name of a layer begins that is not whole yet.
const UNPACKING: &str = ".unpacking-";

/// Where a store keeps its two parts.
#[derive(Debug, Clone)]
pub struct StoreDirs {
    /// Unpacked layers; may be shared by several stores.
    pub layers: PathBuf,
    /// Records of the images this store has.
    pub images: PathBuf,
}

impl StoreDirs {
    /// The library, which is beside the layers.
    fn library(&self) -> PathBuf {
        self.layers.with_file_name("library")
    }
}

/// An open store. Cheap to open; holds no locks and no open files.
#[derive(Debug)]
pub struct Store {
    dirs: StoreDirs,
    catalogue: Catalogue,
    library: Library,
    trust: Trust,
}

/// When to pull, as in a container's `imagePullPolicy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PullPolicy {
    /// Ask the source every time.
    Always,
    /// Only when the image is not here.
    IfNotPresent,
    /// Never; missing is an error.
    Never,
}

/// What [`Store::ensure`] did.
#[derive(Debug, Clone)]
pub enum Pulled {
    /// The image was here: `Container image "..." already present on machine`.
    AlreadyPresent(Image),
    /// The image was asked for: `Successfully pulled image "..." in ...`.
    Pulled(Image),
}

impl Pulled {
    /// The image, however it came here.
    pub fn into_image(self) -> Image {
        match self {
            Self::AlreadyPresent(image) | Self::Pulled(image) => image,
        }
    }
}

/// An image that is here, unpacked.
#[derive(Debug, Clone)]
pub struct Image {
    /// The full name it was asked for by.
    pub reference: Reference,
    /// Digest of the configuration: the image id of `docker image ls` and of CRI.
    pub id: Digest,
    /// Digest of the manifest: the part after `@` in a Pod's `imageID`.
    pub digest: Digest,
    /// Full names with tags: the `image` of a container status is the first.
    pub repo_tags: Vec<String>,
    /// Full names with digests: the `imageID` of a container status is the first.
    pub repo_digests: Vec<String>,
    /// Bytes of all layers.
    pub size: u64,
    /// The OCI configuration: entry point, command, environment, user, ports, labels, history.
    pub config: ImageConfiguration,
    /// Unpacked read-only layers for overlayfs, lowest first.
    pub layers: Vec<PathBuf>,
    /// Set when the image stands in for other software.
    pub stand_in: Option<String>,
    /// Mirrors that did not give it, each with its reason, when it was pulled just now.
    pub passed_over: Vec<String>,
}

/// What is kept of an image on disk.
#[derive(Serialize, Deserialize)]
struct Record {
    reference: String,
    digest: Digest,
    size: u64,
    layers: Vec<Digest>,
    /// The exact bytes whose digest is the image id.
    config: String,
    stand_in: Option<String>,
}

impl Store {
    /// Opens the store that keeps both parts under `dir`, with the built-in catalogue.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        Self::open_in(StoreDirs { layers: dir.join("layers"), images: dir.join("images") })
    }

    /// Opens a store whose two parts lie apart, with the built-in catalogue.
    pub fn open_in(dirs: StoreDirs) -> Result<Self, StoreError> {
        for dir in [&dirs.layers, &dirs.images] {
            fs::create_dir_all(dir).map_err(StoreError::io("create directory", dir))?;
        }
        let library = Library::new(&dirs.library());
        Ok(Self { dirs, catalogue: Catalogue::built_in(), library, trust: Trust::default() })
    }

    /// The same, which finds in this directory whom else it trusts and which mirrors it asks, by registry: `REGISTRY/ca.crt`,
    /// `REGISTRY/hosts.toml`.
    pub fn trusting(self, directory: PathBuf) -> Self {
        Self { trust: Trust::Directory(directory), ..self }
    }

    /// Images from elsewhere that this store can pull.
    pub fn library(&self) -> &Library {
        &self.library
    }

    /// The names this store can pull.
    pub fn catalogue(&self) -> &Catalogue {
        &self.catalogue
    }

    /// Makes the image local as the policy says. Blocking: the first pull of a bundled image unpacks some megabytes.
    // upstream: pkg/kubelet/images/image_manager.go EnsureImageExists
    pub fn ensure(&self, name: &str, policy: PullPolicy) -> Result<Pulled, PullError> {
        self.ensure_with(name, policy, &Keyring::default())
    }

    /// The same, with passwords for registries.
    pub fn ensure_with(&self, name: &str, policy: PullPolicy, keyring: &Keyring) -> Result<Pulled, PullError> {
        let reference = Reference::parse(name)
            .map_err(|error| PullError::invalid_name(name, &error.to_string()))?;
        let here = match policy {
            PullPolicy::Always => None,
            PullPolicy::IfNotPresent | PullPolicy::Never => {
                self.current(&reference, policy).map_err(|error| PullError::failed(&reference, chain(&error)))?
            }
        };
        match (here, policy) {
            (Some(image), _) => Ok(Pulled::AlreadyPresent(image)),
            (None, PullPolicy::Never) => Err(PullError::never_pull(name)),
            (None, PullPolicy::Always | PullPolicy::IfNotPresent) => {
                self.pull_reference(&reference, keyring).map(Pulled::Pulled)
            }
        }
    }

    /// Pulls the image, whether it is here or not.
    pub fn pull(&self, name: &str) -> Result<Image, PullError> {
        self.ensure(name, PullPolicy::Always).map(Pulled::into_image)
    }

    /// True when [`Store::ensure`] would fetch something, and not only look.
    pub fn must_pull(&self, name: &str, policy: PullPolicy) -> bool {
        let missing = || Reference::parse(name).is_ok_and(|reference| matches!(self.current(&reference, policy), Ok(None)));
        match policy {
            PullPolicy::Always => true,
            PullPolicy::Never => false,
            PullPolicy::IfNotPresent => missing(),
        }
    }

    /// The local image, unless the library has another of this name since.
    fn current(&self, reference: &Reference, policy: PullPolicy) -> Result<Option<Image>, StoreError> {
        let Some(image) = self.read(reference)? else { return Ok(None) };
        let newer = policy == PullPolicy::IfNotPresent && self.library.find(reference)?.is_some_and(|digest| digest != image.digest);
        Ok(if newer { None } else { Some(image) })
    }

    /// The local image of this name, digest or id (a prefix of the id is enough, as for `docker`).
    pub fn get(&self, name_or_id: &str) -> Result<Option<Image>, StoreError> {
        if let Ok(reference) = Reference::parse(name_or_id)
            && let Some(image) = self.read(&reference)?
        {
            return Ok(Some(image));
        }
        let prefix = name_or_id.strip_prefix("sha256:").unwrap_or(name_or_id);
        let is_id = prefix.len() >= 4 && prefix.bytes().all(|b| b.is_ascii_hexdigit());
        let images = if is_id { self.list()? } else { Vec::new() };
        Ok(images.into_iter().find(|image| image.id.hex().starts_with(prefix)))
    }

    /// Every local image, by name.
    pub fn list(&self) -> Result<Vec<Image>, StoreError> {
        let dir = &self.dirs.images;
        let mut images = Vec::new();
        for entry in fs::read_dir(dir).map_err(StoreError::io("list", dir))? {
            let path = entry.map_err(StoreError::io("list", dir))?.path();
            if path.extension().is_some_and(|extension| extension == "json") {
                images.extend(self.read_record(&path)?);
            }
        }
        images.sort_by(|a, b| a.reference.cmp(&b.reference));
        Ok(images)
    }

    /// Forgets the image of this name or id, and the layers no other image here uses. False if there is none.
    ///
    /// Layers are kept when they are shared with other stores; call this only for an image no container uses.
    pub fn remove(&self, name_or_id: &str) -> Result<bool, StoreError> {
        let Some(image) = self.get(name_or_id)? else { return Ok(false) };
        let record = self.record_path(&image.reference);
        fs::remove_file(&record).map_err(StoreError::io("remove", &record))?;
        if self.dirs.layers.parent() == self.dirs.images.parent() {
            let used: BTreeSet<PathBuf> =
                self.list()?.into_iter().flat_map(|image| image.layers).collect();
            let base = self.userland_path();
            for layer in image.layers.iter().filter(|layer| !used.contains(*layer) && **layer != base) {
                fs::remove_dir_all(layer).map_err(StoreError::io("remove", layer))?;
            }
        }
        Ok(true)
    }

    /// Puts a bundled image into the library without a name, so that it can be written to a file. `None` for other names.
    pub fn bundled_into(&self, library: &Library, reference: &Reference) -> Result<Option<Stored>, StoreError> {
        let Some(entry) = self.catalogue.find(reference) else { return Ok(None) };
        let Some(bundled) = entry.bundled() else { return Ok(None) };
        let (record, layers) = bundled_record(reference, entry, bundled);
        portable::keep_bundled(library, reference, &record.config, &layers).map(Some)
    }

    /// Removes what a process that was killed left half unpacked. Only while nobody unpacks: before the first node starts.
    pub fn remove_unfinished(&self) -> Result<(), StoreError> {
        let dir = &self.dirs.layers;
        for entry in fs::read_dir(dir).map_err(StoreError::io("list", dir))? {
            let path = entry.map_err(StoreError::io("list", dir))?.path();
            if path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(UNPACKING.as_bytes())) {
                fs::remove_dir_all(&path).map_err(StoreError::io("remove", &path))?;
            }
        }
        Ok(())
    }

    /// Id and size of a bundled image, without making it local.
    pub fn bundled_summary(&self, entry: &Entry) -> Option<(Digest, u64)> {
        let (record, _) = bundled_record(&entry.reference, entry, entry.bundled()?);
        Some((Digest::of(record.config.as_bytes()), record.size))
    }

    /// The userland alone, unpacked: the root of a node's sandbox, with `/bin`, `/etc` and empty mount points.
    pub fn userland_dir(&self) -> Result<PathBuf, StoreError> {
        let layer = EmbeddedLayer::find(USERLAND).expect("build.rs always makes it");
        self.unpack_embedded(layer)
    }

    fn userland_path(&self) -> PathBuf {
        let layer = EmbeddedLayer::find(USERLAND).expect("build.rs always makes it");
        self.dirs.layers.join(layer.diff_id().hex())
    }

    fn pull_reference(&self, reference: &Reference, keyring: &Keyring) -> Result<Image, PullError> {
        let failed = |error: StoreError| PullError::failed(reference, chain(&error));
        if let Some(digest) = self.library.find(reference).map_err(failed)? {
            return self.take_stored(&self.library, reference, &digest).map_err(failed);
        }
        let found = match &reference.digest {
            None => self.catalogue.find(reference),
            Some(digest) => self.find_by_digest(reference, digest),
        };
        let Some(entry) = found else { return self.pull_from_registry(reference, keyring) };
        if let Some(bundled) = entry.bundled() {
            let (record, layers) = bundled_record(reference, entry, bundled);
            for layer in layers {
                self.unpack_embedded(layer).map_err(failed)?;
            }
            self.write(reference, &record).map_err(failed)?;
            let image = self.read(reference).map_err(failed)?;
            return image.ok_or_else(|| PullError::failed(reference, "its layers vanished while it was pulled"));
        }
        match &entry.source {
            Source::Registry(name) => match Reference::parse(name) {
                Ok(source) => self.pull_from_registry(&source, keyring),
                Err(error) => Err(PullError::failed(reference, error)),
            },
            _ => Err(PullError::not_prefetched(reference, &entry.books)),
        }
    }

    /// Asks a registry, or its mirrors: the great public ones cannot be reached from inside a cluster, so for them it is
    /// decided here.
    fn pull_from_registry(&self, reference: &Reference, keyring: &Keyring) -> Result<Image, PullError> {
        let hosts = self.trust.hosts(&reference.domain).map_err(|error| PullError::unresolved(reference, error))?;
        let has_mirrors = hosts.iter().any(|host| host.name != Host::itself(&reference.domain).name);
        let hosts: Vec<_> = hosts.into_iter().map(|host| { let beyond = host.beyond(); (host, beyond) }).collect();
        if hosts.iter().all(|(_, beyond)| beyond.is_some()) {
            let error = if self.catalogue.has_repository(reference) {
                PullError::tag_not_found(reference)
            } else {
                PullError::repository_not_found(reference)
            };
            let all: Vec<String> = hosts.iter().filter(|_| has_mirrors).flat_map(|(host, beyond)| Some(registry::passed_over(host, beyond.as_ref()?))).collect();
            return Err(error.after(&all));
        }
        let pulled = Library::new(&self.dirs.images.with_file_name("pulled"));
        let nobody = registry::Credentials::default();
        let mut result = Err(PullError::failed(reference, "nobody to ask as"));
        // upstream: pkg/kubelet/kuberuntime/kuberuntime_image.go, PullImage: without a password only when there is none
        let mut known = keyring.find(reference).peekable();
        let anonymous = known.peek().is_none().then_some(&nobody);
        for credentials in known.chain(anonymous) {
            result = registry::pull_from(&hosts, reference, &pulled, credentials, &self.trust, &mut |_| {});
            if result.is_ok() {
                break;
            }
        }
        let (digest, passed_over) = result?;
        let image = self.take_stored(&pulled, reference, &digest).map_err(|error| PullError::failed(reference, chain(&error)))?;
        Ok(Image { passed_over, ..image })
    }

    /// Makes an image of a library local: unpacks its layers and writes its record.
    fn take_stored(&self, library: &Library, reference: &Reference, digest: &Digest) -> Result<Image, StoreError> {
        let stored = library.read(reference.clone(), digest)?;
        for (layer, content) in &stored.layers {
            self.unpack_stored(library, &layer.digest, content)?;
        }
        let config: ImageConfiguration = serde_json::from_str(&stored.config)
            .map_err(|source| StoreError::BadRecord { path: library.blob(&stored.id), source })?;
        let labels = config.config().as_ref().and_then(|config| config.labels().as_ref());
        let record = Record {
            reference: reference.to_string(),
            digest: stored.digest,
            size: stored.size,
            layers: stored.layers.into_iter().map(|(_, content)| content).collect(),
            stand_in: labels.and_then(|labels| labels.get(STAND_IN_TEXT_LABEL).cloned()),
            config: stored.config,
        };
        self.write(reference, &record)?;
        let gone = || StoreError::BadLayer { digest: digest.to_string(), reason: "its layers vanished while it was pulled".to_owned() };
        self.read(reference)?.ok_or_else(gone)
    }

    fn find_by_digest(&self, reference: &Reference, digest: &Digest) -> Option<&Entry> {
        self.catalogue.entries().iter().find(|entry| {
            let same_repository = entry.reference.repository() == reference.repository();
            let bundled = entry.bundled().filter(|_| same_repository);
            bundled.is_some_and(|bundled| bundled_record(&entry.reference, entry, bundled).0.digest == *digest)
        })
    }

    /// Unpacks a layer of ours; that it has its digest is a test.
    fn unpack_embedded(&self, layer: &EmbeddedLayer) -> Result<PathBuf, StoreError> {
        let digest = layer.diff_id();
        self.unpack_layer(&digest, |directory| {
            let reader = layer.reader().map_err(StoreError::io("decompress into", directory))?;
            unpack(digest.as_str(), reader, directory)
        })
    }

    /// Unpacks a layer from elsewhere; its content must have the digest it is known by.
    fn unpack_stored(&self, library: &Library, blob: &Digest, content: &Digest) -> Result<PathBuf, StoreError> {
        self.unpack_layer(content, |directory| {
            let mut reader = Hashing::new(library.open_layer(blob)?);
            unpack(content.as_str(), &mut reader, directory)?;
            let found = reader.finish().map_err(StoreError::io("decompress into", directory))?;
            if found == *content { Ok(()) } else { Err(StoreError::BadLayer { digest: content.to_string(), reason: format!("its content has the digest {found}") }) }
        })
    }

    /// Makes the directory of a layer unless it is there; it gets its name when `fill` has filled it.
    fn unpack_layer(&self, digest: &Digest, fill: impl FnOnce(&Path) -> Result<(), StoreError>) -> Result<PathBuf, StoreError> {
        let target = self.dirs.layers.join(digest.hex());
        if target.exists() {
            return Ok(target);
        }
        // Nodes share layers but not process ids: two kubelets have the same one, each in its own PID namespace.
        let made = tempfile::Builder::new().prefix(UNPACKING).permissions(fs::Permissions::from_mode(0o755)).tempdir_in(&self.dirs.layers);
        let temporary = made.map_err(StoreError::io("create directory in", &self.dirs.layers))?;
        fill(temporary.path())?;
        match fs::rename(temporary.path(), &target) {
            Ok(()) => drop(temporary.keep()),
            // Another process was first; its copy is the same.
            Err(_) if target.exists() => {}
            Err(error) => return Err(StoreError::io("move into place", &target)(error)),
        }
        Ok(target)
    }

    fn record_path(&self, reference: &Reference) -> PathBuf {
        let name = reference.to_string().replace('/', "%2F").replace(':', "%3A");
        self.dirs.images.join(format!("{name}.json"))
    }

    fn write(&self, reference: &Reference, record: &Record) -> Result<(), StoreError> {
        let path = self.record_path(reference);
        let text = serde_json::to_vec_pretty(record)
            .map_err(|source| StoreError::BadRecord { path: path.clone(), source })?;
        // Pods that start at once pull at once, most often what is here already.
        if fs::read(&path).is_ok_and(|known| known == text) {
            return Ok(());
        }
        let write = || {
            let mut temporary = tempfile::NamedTempFile::new_in(&self.dirs.images)?;
            temporary.write_all(&text)?;
            temporary.persist(&path).map_err(io::Error::from)
        };
        write().map(drop).map_err(StoreError::io("write", &path))
    }

    fn read(&self, reference: &Reference) -> Result<Option<Image>, StoreError> {
        self.read_record(&self.record_path(reference))
    }

    /// The image of a record; `None` if there is no record or a layer is gone.
    fn read_record(&self, path: &Path) -> Result<Option<Image>, StoreError> {
        let text = match fs::read(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(StoreError::io("read", path)(error)),
        };
        let bad = |source| StoreError::BadRecord { path: path.to_owned(), source };
        let record: Record = serde_json::from_slice(&text).map_err(bad)?;
        let config: ImageConfiguration = serde_json::from_str(&record.config).map_err(bad)?;
        let Ok(reference) = Reference::parse(&record.reference) else { return Ok(None) };
        let layers: Vec<PathBuf> =
            record.layers.iter().map(|digest| self.dirs.layers.join(digest.hex())).collect();
        if !layers.iter().all(|layer| layer.exists()) {
            return Ok(None);
        }
        let repo_tags = if reference.tag.is_some() && reference.digest.is_none() {
            vec![reference.to_string()]
        } else {
            Vec::new()
        };
        Ok(Some(Image {
            id: Digest::of(record.config.as_bytes()),
            repo_tags,
            repo_digests: vec![format!("{}@{}", reference.repository(), record.digest)],
            reference,
            digest: record.digest,
            size: record.size,
            config,
            layers,
            stand_in: record.stand_in,
            passed_over: Vec::new(),
        }))
    }
}

/// The record of a bundled image, and the layers it needs.
fn bundled_record(
    reference: &Reference,
    entry: &Entry,
    bundled: &Bundled,
) -> (Record, Vec<&'static EmbeddedLayer>) {
    let names = std::iter::once(USERLAND).chain(bundled.layers.iter().map(String::as_str));
    let layers: Vec<&EmbeddedLayer> = names
        .map(|name| EmbeddedLayer::find(name).expect("the catalogue's layers are checked by a test"))
        .collect();
    let config = canonical_json(&bundled_config(entry, bundled, &layers));
    let blob = |media_type: &str, digest: &Digest, size: u64| {
        serde_json::json!({"mediaType": media_type, "digest": digest, "size": size})
    };
    let layer_blobs: Vec<_> = layers
        .iter()
        .map(|layer| blob("application/vnd.oci.image.layer.v1.tar", &layer.diff_id(), layer.size))
        .collect();
    let config_digest = Digest::of(config.as_bytes());
    let manifest = serde_json::json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": blob("application/vnd.oci.image.config.v1+json", &config_digest, config.len() as u64),
        "layers": layer_blobs,
    });
    let record = Record {
        reference: reference.to_string(),
        digest: Digest::of(canonical_json(&manifest).as_bytes()),
        size: layers.iter().map(|layer| layer.size).sum(),
        layers: layers.iter().map(|layer| layer.diff_id()).collect(),
        config,
        stand_in: entry.stand_in.clone(),
    };
    (record, layers)
}

fn bundled_config(entry: &Entry, bundled: &Bundled, layers: &[&EmbeddedLayer]) -> serde_json::Value {
    let mut config = bundled.config.clone();
    if let Some(text) = &entry.stand_in {
        let mut labels = config.labels().clone().unwrap_or_default();
        labels.insert(STAND_IN_LABEL.to_owned(), "true".to_owned());
        labels.insert(STAND_IN_TEXT_LABEL.to_owned(), text.clone());
        config.set_labels(Some(labels));
    }
    let architecture = oci_spec::image::Arch::default();
    let history: Vec<_> = layers
        .iter()
        .map(|layer| {
            serde_json::json!({"created": CREATED, "created_by": format!("drydock layer {}", layer.name)})
        })
        .collect();
    let diff_ids: Vec<Digest> = layers.iter().map(|layer| layer.diff_id()).collect();
    serde_json::json!({
        "created": CREATED,
        "author": "Drydock",
        "architecture": architecture,
        "os": "linux",
        "config": config,
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
        "history": history,
    })
}

/// JSON with sorted keys, so that equal values have equal digests.
pub(crate) fn canonical_json(value: &serde_json::Value) -> String {
    fn sort(value: &serde_json::Value) -> serde_json::Value {
        match value {
            serde_json::Value::Object(map) => {
                let sorted: std::collections::BTreeMap<_, _> =
                    map.iter().map(|(key, value)| (key.clone(), sort(value))).collect();
                serde_json::Value::Object(sorted.into_iter().collect())
            }
            serde_json::Value::Array(items) => items.iter().map(sort).collect(),
            other => other.clone(),
        }
    }
    sort(value).to_string()
}

#[cfg(test)]
mod tests;
