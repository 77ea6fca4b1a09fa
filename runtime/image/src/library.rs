//! The library: images that were imported, pulled from a registry or made by a recipe, kept as an OCI image layout.
//!
//! It is one directory per state directory, written by `drydock image` on the host and only read by nodes: for them it
//! is what a registry is for a machine. `index.json` names manifests, `blobs/sha256/` holds everything by its digest.
//!
//! A blob appears under its name complete; the index is replaced by a rename, under a lock. What a writer that was killed
//! left is removed by the next one, and by who asks for it: whoever starts a cluster.

use std::{
    collections::BTreeSet,
    fs,
    io::{self, BufRead, BufReader, Read, Write},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::{
    digest::Digest,
    error::{StoreError, chain},
    reference::Reference,
};

/// The annotation that names an image in an index.
pub(crate) const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// The one containerd and docker write with full names.
pub(crate) const IMAGE_NAME: &str = "io.containerd.image.name";
pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
/// How the name of a blob begins that is not whole yet.
const INCOMING: &str = ".incoming-";
/// What makes a directory an OCI image layout.
pub(crate) const LAYOUT: &str = r#"{"imageLayoutVersion":"1.0.0"}"#;

/// An image layout that is written to.
#[derive(Debug, Clone)]
pub struct Library {
    directory: PathBuf,
}

/// An image in the library.
#[derive(Debug, Clone)]
pub struct Stored {
    /// Its full name.
    pub reference: Reference,
    /// The digest of its manifest.
    pub digest: Digest,
    /// The digest of its configuration.
    pub id: Digest,
    /// Bytes of its layers as they are kept.
    pub size: u64,
    /// Its configuration as it was written.
    pub config: String,
    /// Its layers, lowest first: how they are kept, and the digest of their content.
    pub layers: Vec<(Descriptor, Digest)>,
}

/// Content by its digest.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// What it is.
    #[serde(default)]
    pub media_type: String,
    /// Its digest.
    pub digest: Digest,
    /// Its length in bytes.
    pub size: u64,
    /// Names, and whatever else its writer said.
    #[serde(default, skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    pub annotations: std::collections::BTreeMap<String, String>,
    /// What machine it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
}

/// The machine an image is for.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Platform {
    /// `amd64`
    pub architecture: String,
    /// `linux`
    pub os: String,
}

/// A manifest, or a list of them: what is read of either.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Manifest {
    pub(crate) config: Option<Descriptor>,
    #[serde(default)]
    pub(crate) layers: Vec<Descriptor>,
    #[serde(default)]
    pub(crate) manifests: Vec<Descriptor>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Index {
    schema_version: u32,
    manifests: Vec<Descriptor>,
}

impl Default for Index {
    fn default() -> Self {
        Self { schema_version: 2, manifests: Vec::new() }
    }
}

/// Bytes of all of them, as far as they can be believed.
pub(crate) fn size_of(blobs: &[Descriptor]) -> u64 {
    blobs.iter().fold(0, |size, blob| size.saturating_add(blob.size))
}

/// The machine we run on, as OCI names it.
pub(crate) fn own_platform() -> (String, String) {
    (oci_spec::image::Arch::default().to_string(), "linux".to_owned())
}

impl Library {
    /// The library in this directory, which need not exist yet.
    pub fn new(directory: &Path) -> Self {
        Self { directory: directory.to_owned() }
    }

    /// The file of a blob.
    pub fn blob(&self, digest: &Digest) -> PathBuf {
        self.directory.join("blobs/sha256").join(digest.hex())
    }

    /// True when the blob is here.
    pub fn has(&self, digest: &Digest) -> bool {
        self.blob(digest).is_file()
    }

    /// The digest of the manifest of this name, or of this repository when the name has a digest.
    pub fn find(&self, reference: &Reference) -> Result<Option<Digest>, StoreError> {
        let index = self.index()?;
        let found = index.manifests.into_iter().find(|descriptor| match (&reference.digest, name_of(descriptor)) {
            (Some(digest), Some(name)) => descriptor.digest == *digest && name.repository() == reference.repository(),
            (None, Some(name)) => name == *reference,
            (_, None) => false,
        });
        Ok(found.map(|descriptor| descriptor.digest))
    }

    /// Every image, by name.
    pub fn list(&self) -> Result<Vec<Stored>, StoreError> {
        let mut all = Vec::new();
        for descriptor in self.index()?.manifests {
            if let Some(reference) = name_of(&descriptor) {
                all.push(self.read(reference, &descriptor.digest)?);
            }
        }
        all.sort_by(|one, other| one.reference.cmp(&other.reference));
        Ok(all)
    }

    /// The image with this manifest, under this name.
    pub fn read(&self, reference: Reference, digest: &Digest) -> Result<Stored, StoreError> {
        let manifest = self.manifest(digest)?;
        let bad = |reason: &str| StoreError::BadLayer { digest: digest.to_string(), reason: reason.to_owned() };
        let config_blob = manifest.config.ok_or_else(|| bad("its manifest has no configuration"))?;
        let config = self.text(&config_blob.digest)?;
        let parsed: oci_spec::image::ImageConfiguration = serde_json::from_str(&config).map_err(|error| bad(&chain(&error)))?;
        let contents: Option<Vec<Digest>> = parsed.rootfs().diff_ids().iter().map(|text| Digest::parse(text)).collect();
        let contents = contents.filter(|contents| contents.len() == manifest.layers.len());
        let contents = contents.ok_or_else(|| bad("its manifest and its configuration name different layers"))?;
        Ok(Stored {
            reference,
            digest: digest.clone(),
            id: config_blob.digest,
            size: size_of(&manifest.layers),
            config,
            layers: manifest.layers.into_iter().zip(contents).collect(),
        })
    }

    pub(crate) fn manifest(&self, digest: &Digest) -> Result<Manifest, StoreError> {
        let path = self.blob(digest);
        serde_json::from_str(&self.text(digest)?).map_err(|source| StoreError::BadRecord { path, source })
    }

    fn text(&self, digest: &Digest) -> Result<String, StoreError> {
        let path = self.blob(digest);
        fs::read_to_string(&path).map_err(StoreError::io("read", &path))
    }

    /// The content of a layer, decompressed.
    pub(crate) fn open_layer(&self, digest: &Digest) -> Result<Box<dyn Read>, StoreError> {
        let path = self.blob(digest);
        let file = fs::File::open(&path).map_err(StoreError::io("open", &path))?;
        decompressed(BufReader::with_capacity(128 * 1024, file)).map_err(StoreError::io("decompress", &path))
    }

    /// Keeps what `reader` gives; `expected` is what its digest must be, where that is known.
    pub fn put(&self, mut reader: impl Read, expected: Option<&Digest>) -> Result<(Digest, u64), StoreError> {
        let mut writer = self.writer()?;
        let temporary = writer.file.path().to_owned();
        io::copy(&mut reader, &mut writer).map_err(StoreError::io("write", &temporary))?;
        writer.finish(expected)
    }

    /// A blob that is written piece by piece.
    pub(crate) fn writer(&self) -> Result<BlobWriter, StoreError> {
        let blobs = self.directory.join("blobs/sha256");
        fs::create_dir_all(&blobs).map_err(StoreError::io("create directory", &blobs))?;
        let layout = self.directory.join("oci-layout");
        if !layout.exists() {
            for directory in blobs.ancestors().take(3) {
                fs::set_permissions(directory, fs::Permissions::from_mode(0o755)).map_err(StoreError::io("open to all", directory))?;
            }
            fs::write(&layout, LAYOUT).map_err(StoreError::io("write", &layout))?;
        }
        let lock = self.lock()?;
        self.remove_unfinished_in(&blobs)?;
        let file = tempfile::Builder::new().prefix(INCOMING).tempfile_in(&blobs).map_err(StoreError::io("create a file in", &blobs))?;
        file.as_file().try_lock().map_err(|error| StoreError::io("lock", file.path())(error.into()))?;
        drop(lock);
        Ok(BlobWriter { file, hasher: Sha256::new(), length: 0 })
    }

    /// Removes what a writer that was killed left half written.
    pub fn remove_unfinished(&self) -> Result<(), StoreError> {
        let blobs = self.directory.join("blobs/sha256");
        if !blobs.exists() {
            return Ok(());
        }
        let lock = self.lock()?;
        self.remove_unfinished_in(&blobs)?;
        drop(lock);
        Ok(())
    }

    /// A writer holds a lock on its file for as long as it lives, whichever process ids it sees; who creates one and who
    /// removes some hold the library's lock, so that no file is met before it has its own.
    fn remove_unfinished_in(&self, blobs: &Path) -> Result<(), StoreError> {
        for entry in fs::read_dir(blobs).map_err(StoreError::io("list", blobs))? {
            let path = entry.map_err(StoreError::io("list", blobs))?.path();
            if !path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(INCOMING.as_bytes())) {
                continue;
            }
            // One that cannot be opened, or is gone after it was, has a name by now; or it is another user's.
            if fs::File::open(&path).is_ok_and(|file| file.try_lock().is_ok()) {
                match fs::remove_file(&path) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(StoreError::io("remove", &path)(error)),
                    _ => {}
                }
            }
        }
        Ok(())
    }

    /// The library's lock, for as long as the file is open.
    fn lock(&self) -> Result<Flock<fs::File>, StoreError> {
        let path = self.directory.join("index.lock");
        let file = fs::File::create(&path).map_err(StoreError::io("create", &path))?;
        Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, error)| StoreError::io("lock", &path)(error.into()))
    }

    /// Gives a manifest that is here a name; the name leaves the manifest it had before.
    pub fn name(&self, reference: &Reference, manifest: &Digest) -> Result<(), StoreError> {
        let size = fs::metadata(self.blob(manifest)).map_or(0, |meta| meta.len());
        let annotations = [(REF_NAME.to_owned(), reference.to_string()), (IMAGE_NAME.to_owned(), reference.to_string())];
        let descriptor = Descriptor { media_type: MANIFEST.to_owned(), digest: manifest.clone(), size, annotations: annotations.into(), platform: None };
        self.change(|index| {
            index.manifests.retain(|known| name_of(known).as_ref() != Some(reference));
            index.manifests.push(descriptor);
            true
        })
        .map(|_| ())
    }

    /// Takes a name away, and what no other name needs. False when there is no such name.
    pub fn remove(&self, reference: &Reference) -> Result<bool, StoreError> {
        let removed = self.change(|index| {
            let before = index.manifests.len();
            index.manifests.retain(|known| name_of(known).as_ref() != Some(reference));
            index.manifests.len() < before
        })?;
        if removed {
            self.sweep()?;
        }
        Ok(removed)
    }

    /// Removes blobs that no named image needs, and those that never became any.
    fn sweep(&self) -> Result<(), StoreError> {
        self.remove_unfinished()?;
        let mut needed = BTreeSet::new();
        for stored in self.list()? {
            needed.insert(stored.digest.hex().to_owned());
            needed.insert(stored.id.hex().to_owned());
            needed.extend(stored.layers.iter().map(|(layer, _)| layer.digest.hex().to_owned()));
        }
        let blobs = self.directory.join("blobs/sha256");
        for entry in fs::read_dir(&blobs).map_err(StoreError::io("list", &blobs))? {
            let path = entry.map_err(StoreError::io("list", &blobs))?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if !name.starts_with('.') && !needed.contains(name) {
                fs::remove_file(&path).map_err(StoreError::io("remove", &path))?;
            }
        }
        Ok(())
    }

    fn index(&self) -> Result<Index, StoreError> {
        let path = self.directory.join("index.json");
        match fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text).map_err(|source| StoreError::BadRecord { path, source }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Index::default()),
            Err(error) => Err(StoreError::io("read", &path)(error)),
        }
    }

    fn change(&self, change: impl FnOnce(&mut Index) -> bool) -> Result<bool, StoreError> {
        fs::create_dir_all(&self.directory).map_err(StoreError::io("create directory", &self.directory))?;
        let lock = self.lock()?;
        let mut index = self.index()?;
        let changed = change(&mut index);
        if changed {
            let (target, temporary) = (self.directory.join("index.json"), self.directory.join("index.json.tmp"));
            let text = serde_json::to_vec_pretty(&index).map_err(|source| StoreError::BadRecord { path: target.clone(), source })?;
            fs::write(&temporary, text).map_err(StoreError::io("write", &temporary))?;
            fs::set_permissions(&temporary, fs::Permissions::from_mode(0o644)).map_err(StoreError::io("open to all", &temporary))?;
            fs::rename(&temporary, &target).map_err(StoreError::io("write", &target))?;
        }
        drop(lock);
        Ok(changed)
    }
}

/// The full name of an index's entry.
fn name_of(descriptor: &Descriptor) -> Option<Reference> {
    let name = descriptor.annotations.get(IMAGE_NAME).or_else(|| descriptor.annotations.get(REF_NAME))?;
    Reference::parse(name).ok()
}

/// A blob on its way into the library; gone when it is not finished.
pub(crate) struct BlobWriter {
    /// Removed unless it is finished.
    file: tempfile::NamedTempFile,
    hasher: Sha256,
    length: u64,
}

impl BlobWriter {
    /// Puts the blob under its digest.
    pub(crate) fn finish(mut self, expected: Option<&Digest>) -> Result<(Digest, u64), StoreError> {
        let digest = Digest::from_hash(&std::mem::take(&mut self.hasher).finalize());
        if let Some(expected) = expected.filter(|expected| **expected != digest) {
            return Err(StoreError::BadLayer { digest: expected.to_string(), reason: format!("its content has the digest {digest}") });
        }
        // Nodes read it as another user than the one who writes it.
        let open_to_all = self.file.as_file().set_permissions(fs::Permissions::from_mode(0o644));
        open_to_all.and_then(|()| self.file.as_file().sync_all()).map_err(StoreError::io("write", self.file.path()))?;
        let target = self.file.path().with_file_name(digest.hex());
        self.file.persist(&target).map_err(|error| StoreError::io("move into place", &target)(error.error))?;
        Ok((digest, self.length))
    }
}

impl Write for BlobWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.file.write(bytes)?;
        self.hasher.update(&bytes[..count]);
        self.length += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// What is in a compressed stream, by its first bytes; anything else as it is.
pub(crate) fn decompressed(mut reader: impl BufRead + 'static) -> io::Result<Box<dyn Read>> {
    let start = reader.fill_buf()?;
    Ok(if start.starts_with(&[0x1f, 0x8b]) {
        Box::new(flate2::bufread::MultiGzDecoder::new(reader))
    } else if start.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        Box::new(zstd::Decoder::with_buffer(reader)?)
    } else if start.starts_with(&[0xfd, b'7', b'z', b'X', b'Z', 0]) {
        Box::new(liblzma::bufread::XzDecoder::new(reader))
    } else {
        Box::new(reader)
    })
}
