//! Images as files: OCI image layouts (directories and archives) and the archives of `docker save`.
//!
//! An archive that is written is both at once, as `docker save` writes it today: an OCI layout with a `manifest.json`.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, BufReader, Read, Write},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use serde::Deserialize;

use crate::{
    digest::Digest,
    error::{StoreError, chain},
    library::{CONFIG, Descriptor, IMAGE_NAME, LAYOUT, Library, MANIFEST, Manifest, REF_NAME, Stored, decompressed, own_platform},
    recipe::keep_embedded_layer,
    reference::Reference,
    store::canonical_json,
};

/// No file that is read whole is longer.
const LONGEST_TEXT: u64 = 8 << 20;

/// A file is no image.
#[derive(Debug, thiserror::Error)]
pub enum PortableError {
    /// It cannot be read or written.
    #[error("{action} {path}")]
    Io {
        /// What was attempted.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// It is something else.
    #[error("{path} holds no image: {reason}")]
    NoImage {
        /// Which.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// The image has no name in the file, and nobody said one.
    #[error("the image in {path} has no name: say one with --name")]
    Unnamed {
        /// Which.
        path: PathBuf,
    },
    /// The library could not take it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// An entry of `docker save`'s `manifest.json`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DockerImage {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

/// Takes the images of a file or directory into the library; gives their names. `name` is for one that has none.
pub fn import(path: &Path, name: Option<&Reference>, library: &Library) -> Result<Vec<Reference>, PortableError> {
    if path.is_dir() {
        return import_directory(path, path, name, library);
    }
    let io = |action| move |source| PortableError::Io { action, path: path.to_owned(), source };
    let file = fs::File::open(path).map_err(io("open"))?;
    let reader = decompressed(BufReader::new(file)).map_err(io("read"))?;
    // Beside the blobs, so that they are on the same disk.
    let parent = library.blob(&Digest::of(b"")).parent().map(Path::to_owned).unwrap_or_default();
    fs::create_dir_all(&parent).map_err(io("make room for"))?;
    let directory = tempfile::Builder::new().prefix(".import-").tempdir_in(&parent).map_err(io("make room for"))?;
    let mut archive = tar::Archive::new(reader);
    archive.set_preserve_permissions(false);
    archive.unpack(directory.path()).map_err(|error| PortableError::NoImage { path: path.to_owned(), reason: chain(&error) })?;
    import_directory(directory.path(), path, name, library)
}

fn import_directory(directory: &Path, said: &Path, name: Option<&Reference>, library: &Library) -> Result<Vec<Reference>, PortableError> {
    let import = Import { directory, said, name, library };
    let images = if directory.join("index.json").is_file() {
        import.layout()?
    } else if directory.join("manifest.json").is_file() {
        import.docker()?
    } else {
        return Err(import.no_image("it has neither index.json nor manifest.json"));
    };
    for (reference, digest) in &images {
        library.read(reference.clone(), digest)?;
        library.name(reference, digest)?;
    }
    Ok(images.into_iter().map(|(reference, _)| reference).collect())
}

struct Import<'a> {
    directory: &'a Path,
    /// The path the user knows.
    said: &'a Path,
    name: Option<&'a Reference>,
    library: &'a Library,
}

impl Import<'_> {
    fn no_image(&self, reason: impl std::fmt::Display) -> PortableError {
        PortableError::NoImage { path: self.said.to_owned(), reason: reason.to_string() }
    }

    fn text(&self, name: &str) -> Result<Vec<u8>, PortableError> {
        let mut bytes = Vec::new();
        self.open(name)?.take(LONGEST_TEXT).read_to_end(&mut bytes).map_err(|error| self.no_image(format_args!("{name}: {error}")))?;
        Ok(bytes)
    }

    /// Opens a file of the image; what climbs or leads elsewhere is refused.
    fn open(&self, name: &str) -> Result<fs::File, PortableError> {
        let root = self.directory.canonicalize().map_err(|error| self.no_image(error))?;
        let path = self.directory.join(name).canonicalize().map_err(|error| self.no_image(format_args!("{name}: {error}")))?;
        if !path.starts_with(&root) {
            return Err(self.no_image(format_args!("{name} is outside it")));
        }
        fs::File::open(&path).map_err(|error| self.no_image(format_args!("{name}: {error}")))
    }

    /// The names in a file, full ones first; the one that was said when it has none.
    fn names(&self, found: impl IntoIterator<Item = String>) -> Result<Vec<Reference>, PortableError> {
        if let Some(name) = self.name {
            return Ok(vec![name.clone()]);
        }
        let names: Vec<Reference> = found.into_iter().filter(|name| name.contains([':', '/'])).filter_map(|name| Reference::parse(&name).ok()).collect();
        if names.is_empty() { Err(PortableError::Unnamed { path: self.said.to_owned() }) } else { Ok(names) }
    }

    fn layout(&self) -> Result<Vec<(Reference, Digest)>, PortableError> {
        let index: Manifest = serde_json::from_slice(&self.text("index.json")?).map_err(|error| self.no_image(error))?;
        let mut images = Vec::new();
        for descriptor in &index.manifests {
            let found = [IMAGE_NAME, REF_NAME].iter().find_map(|key| descriptor.annotations.get(*key).cloned());
            let digest = self.manifest(descriptor, 0)?;
            for name in self.names(found)? {
                images.push((name, digest.clone()));
            }
        }
        if images.is_empty() { Err(self.no_image("its index is empty")) } else { Ok(images) }
    }

    fn manifest(&self, descriptor: &Descriptor, depth: u32) -> Result<Digest, PortableError> {
        let bytes = self.text(&blob_name(&descriptor.digest))?;
        let manifest: Manifest = serde_json::from_slice(&bytes).map_err(|error| self.no_image(error))?;
        let Some(config) = &manifest.config else {
            let (architecture, os) = own_platform();
            let fits = |one: &&Descriptor| one.platform.as_ref().is_none_or(|platform| platform.architecture == architecture && platform.os == os);
            let chosen = manifest.manifests.iter().find(fits).filter(|_| depth < 3);
            return self.manifest(chosen.ok_or_else(|| self.no_image(format_args!("it is not for {os}/{architecture}")))?, depth + 1);
        };
        for blob in std::iter::once(config).chain(&manifest.layers) {
            if !self.library.has(&blob.digest) {
                self.library.put(self.open(&blob_name(&blob.digest))?, Some(&blob.digest))?;
            }
        }
        Ok(self.library.put(bytes.as_slice(), Some(&descriptor.digest))?.0)
    }

    fn docker(&self) -> Result<Vec<(Reference, Digest)>, PortableError> {
        let entries: Vec<DockerImage> = serde_json::from_slice(&self.text("manifest.json")?).map_err(|error| self.no_image(error))?;
        let mut images = Vec::new();
        for entry in entries {
            let config = self.text(&entry.config)?;
            let (config_digest, config_size) = self.library.put(config.as_slice(), None)?;
            let mut layers = Vec::new();
            for layer in &entry.layers {
                let (digest, size) = self.library.put(self.open(layer)?, None)?;
                layers.push(serde_json::json!({"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": digest, "size": size}));
            }
            let manifest = serde_json::json!({
                "schemaVersion": 2,
                "mediaType": MANIFEST,
                "config": {"mediaType": CONFIG, "digest": config_digest, "size": config_size},
                "layers": layers,
            });
            let (digest, _) = self.library.put(canonical_json(&manifest).as_bytes(), None)?;
            for name in self.names(entry.repo_tags.unwrap_or_default())? {
                images.push((name, digest.clone()));
            }
        }
        Ok(images)
    }
}

fn blob_name(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

/// Writes an image of the library as an archive.
pub fn export(stored: &Stored, library: &Library, path: &Path) -> Result<(), PortableError> {
    let io = |source| PortableError::Io { action: "write", path: path.to_owned(), source };
    let write = || {
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let temporary = tempfile::Builder::new().permissions(fs::Permissions::from_mode(0o644)).tempfile_in(directory)?;
        write_archive(stored, library, io::BufWriter::new(&temporary))?;
        temporary.persist(path).map_err(io::Error::from)
    };
    write().map(drop).map_err(io)
}

fn write_archive(stored: &Stored, library: &Library, writer: impl Write) -> io::Result<()> {
    let mut builder = tar::Builder::new(writer);
    let mut add = |name: &str, size: u64, content: &mut dyn Read| {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        header.set_size(size);
        builder.append_data(&mut header, name, content)
    };
    let mut blobs = BTreeMap::from([(stored.digest.clone(), ()), (stored.id.clone(), ())]);
    blobs.extend(stored.layers.iter().map(|(layer, _)| (layer.digest.clone(), ())));
    for digest in blobs.keys() {
        let mut file = fs::File::open(library.blob(digest))?;
        let size = file.metadata()?.len();
        add(&blob_name(digest), size, &mut file)?;
    }
    let manifest_size = fs::metadata(library.blob(&stored.digest))?.len();
    let name = stored.reference.to_string();
    let index = serde_json::json!({
        "schemaVersion": 2,
        "manifests": [{
            "mediaType": MANIFEST,
            "digest": stored.digest,
            "size": manifest_size,
            "annotations": {IMAGE_NAME: name, REF_NAME: name},
        }],
    });
    let layers: Vec<String> = stored.layers.iter().map(|(layer, _)| blob_name(&layer.digest)).collect();
    let familiar = format!("{}:{}", stored.reference.familiar_repository(), stored.reference.tag.as_deref().unwrap_or("latest"));
    let docker = serde_json::json!([{"Config": blob_name(&stored.id), "RepoTags": [familiar], "Layers": layers}]);
    for (name, text) in [("index.json", index.to_string()), ("manifest.json", docker.to_string()), ("oci-layout", LAYOUT.to_owned())] {
        add(name, text.len() as u64, &mut text.as_bytes())?;
    }
    builder.into_inner()?.flush()
}

/// Puts a bundled image into the library, so that it can be exported like any other.
pub(crate) fn keep_bundled(
    library: &Library,
    reference: &Reference,
    config: &str,
    layers: &[&crate::archive::EmbeddedLayer],
) -> Result<Stored, StoreError> {
    let (config_digest, config_size) = library.put(config.as_bytes(), None)?;
    let mut blobs = Vec::new();
    for layer in layers {
        let (digest, size) = keep_embedded_layer(library, layer)?;
        blobs.push(serde_json::json!({"mediaType": "application/vnd.oci.image.layer.v1.tar+zstd", "digest": digest, "size": size}));
    }
    let manifest = serde_json::json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": {"mediaType": CONFIG, "digest": config_digest, "size": config_size},
        "layers": blobs,
    });
    let (digest, _) = library.put(canonical_json(&manifest).as_bytes(), None)?;
    library.read(reference.clone(), &digest)
}
