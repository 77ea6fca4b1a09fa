//! Recipes: images of real software, put together from a distribution's packages without root and without running any
//! of the packages' scripts.
//!
//! 1. A recipe (`recipes/NAME.yaml`) says which packages, what to leave out, and the image's configuration.
//! 2. [`apt`] asks the machine's own package manager, in a directory of ours, what belongs to those packages.
//! 3. [`closure`] takes what is really needed: what the recipe omits is not followed.
//! 4. [`deb`] unpacks each package into one layer, on top of the userland; a bundled layer with our files comes last.
//!
//! Exact versions and digests are written beside the image: mirrors drop old versions.

mod apt;
mod closure;
mod deb;

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
};

use oci_spec::image::Config;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

pub use self::apt::AptError;
use self::closure::Package;
use crate::{
    archive::{EmbeddedLayer, USERLAND},
    digest::Digest,
    error::StoreError,
    library::{BlobWriter, CONFIG, Library, MANIFEST},
    store::{STAND_IN_LABEL, STAND_IN_TEXT_LABEL, canonical_json},
};

const RECIPES: &[(&str, &str)] = &[("nginx", include_str!("../../recipes/nginx.yaml")), ("postgres", include_str!("../../recipes/postgres.yaml"))];
/// Directories of today's distributions that are links into `usr`; packages still ship files on both sides.
const MERGED: [&str; 3] = ["lib", "lib64", "libx32"];

/// A recipe.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Recipe {
    /// What the image says it is, before its version.
    pub(crate) title: String,
    /// The package whose version is the image's.
    version_of: String,
    /// Packages to begin with.
    packages: Vec<String>,
    /// Packages not to take even when others want them.
    #[serde(default)]
    omit: Vec<String>,
    /// Paths not to unpack, with all below them; `*` within a name.
    #[serde(default)]
    leave_out: Vec<String>,
    /// Directories whose programs are linked into `/usr/local/bin`.
    #[serde(default)]
    expose: Vec<String>,
    /// Folders under `layers/` on top of the packages.
    #[serde(default)]
    layers: Vec<String>,
    config: Config,
}

/// How far it is.
#[derive(Debug, Clone)]
pub enum Progress {
    /// A step begins.
    Step(String),
    /// Some of all were done.
    Count {
        /// What is counted.
        what: &'static str,
        /// How many are done.
        done: usize,
        /// Of how many.
        of: usize,
    },
    /// Bytes of a whole came.
    Bytes {
        /// What comes.
        what: String,
        /// How many came.
        done: u64,
        /// Of how many; 0 when nobody knows.
        of: u64,
    },
}

/// Who is told how far it is.
pub type Watcher<'a> = dyn FnMut(Progress) + 'a;

/// A recipe could not be followed.
#[derive(Debug, thiserror::Error)]
pub enum RecipeError {
    /// There is no such recipe.
    #[error("there is no recipe {0:?}")]
    Unknown(String),
    /// The recipe's file is wrong.
    #[error("recipe {name}")]
    Yaml {
        /// Which.
        name: String,
        /// Why.
        #[source]
        source: serde_yaml::Error,
    },
    /// The packages could not be had.
    #[error(transparent)]
    Apt(#[from] AptError),
    /// A package is not what it should be.
    #[error("package {package}: {reason}")]
    Package {
        /// Which.
        package: String,
        /// Why.
        reason: String,
    },
    /// The image could not be kept.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What an image was made of.
#[derive(Debug, Serialize)]
struct Made {
    recipe: String,
    packages: Vec<Package>,
    image: Digest,
}

impl Recipe {
    /// The recipe of this name.
    pub fn find(name: &str) -> Result<Self, RecipeError> {
        let (_, text) = RECIPES.iter().find(|(known, _)| *known == name).ok_or_else(|| RecipeError::Unknown(name.to_owned()))?;
        serde_yaml::from_str(text).map_err(|source| RecipeError::Yaml { name: name.to_owned(), source })
    }

    /// Makes the image and keeps it in the library, without a name yet; gives its manifest's digest.
    ///
    /// `work` keeps package lists and packages between attempts.
    pub fn make(&self, name: &str, library: &Library, work: &Path, watcher: &mut Watcher<'_>) -> Result<Digest, RecipeError> {
        let apt = apt::Apt::new(work)?;
        apt.update(watcher)?;
        watcher(Progress::Step("asking what belongs to it".to_owned()));
        let candidates = apt.solve(&self.packages)?;
        let packages = closure::closure(&candidates, &self.packages, &self.omit);
        let files = apt.download(&packages, watcher)?;
        let layer = self.layer(&packages, &files, library, watcher)?;
        let version = packages.iter().find(|package| package.name.starts_with(&self.version_of)).map_or_else(String::new, |package| package.version.clone());
        let image = self.finish(library, layer, &packages, &version)?;
        let record = work.join(format!("{name}.json"));
        let made = Made { recipe: name.to_owned(), packages, image: image.clone() };
        let text = serde_json::to_vec_pretty(&made).map_err(|source| StoreError::BadRecord { path: record.clone(), source })?;
        fs::write(&record, text).map_err(StoreError::io("write", &record))?;
        Ok(image)
    }

    /// One layer of all packages: what kept layer has which digests.
    fn layer(&self, packages: &[Package], files: &[PathBuf], library: &Library, watcher: &mut Watcher<'_>) -> Result<Layer, RecipeError> {
        let writer = LayerWriter::new(library)?;
        let mut tree = deb::Tree::new(tar::Builder::new(writer), self.leave_out.clone(), self.expose.clone());
        let broken = |package: &str| {
            let package = package.to_owned();
            move |error: std::io::Error| RecipeError::Package { package, reason: error.to_string() }
        };
        for name in MERGED {
            tree.merged(name).map_err(broken(name))?;
        }
        for (index, (package, file)) in packages.iter().zip(files).enumerate() {
            watcher(Progress::Count { what: "packages unpacked", done: index, of: packages.len() });
            tree.add(file).map_err(broken(&package.name))?;
        }
        watcher(Progress::Count { what: "packages unpacked", done: packages.len(), of: packages.len() });
        let writer = tree.finish().map_err(broken("all"))?;
        Ok(writer.finish()?)
    }

    /// Writes configuration and manifest.
    fn finish(&self, library: &Library, packages_layer: Layer, packages: &[Package], version: &str) -> Result<Digest, RecipeError> {
        let embedded = |name: &str| EmbeddedLayer::find(name).ok_or_else(|| RecipeError::Unknown(format!("layer {name}")));
        let mut layers = vec![keep_embedded(library, embedded(USERLAND)?)?, packages_layer];
        for name in &self.layers {
            layers.push(keep_embedded(library, embedded(name)?)?);
        }
        let mut config = self.config.clone();
        let mut labels = config.labels().clone().unwrap_or_default();
        let list: Vec<String> = packages.iter().map(|package| format!("{}={}", package.name, package.version)).collect();
        labels.insert(STAND_IN_LABEL.to_owned(), "true".to_owned());
        labels.insert(STAND_IN_TEXT_LABEL.to_owned(), format!("{} {version}, made of this machine's distribution's packages", self.title));
        labels.insert("io.drydock.packages".to_owned(), list.join(" "));
        config.set_labels(Some(labels));
        let diff_ids: Vec<&Digest> = layers.iter().map(|layer| &layer.content).collect();
        let document = serde_json::json!({
            "author": "Drydock",
            "architecture": oci_spec::image::Arch::default(),
            "os": "linux",
            "config": config,
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
        });
        let config_text = canonical_json(&document);
        let (config_digest, config_size) = library.put(config_text.as_bytes(), None)?;
        let blob = |kind: &str, digest: &Digest, size: u64| serde_json::json!({"mediaType": kind, "digest": digest, "size": size});
        let layer_blobs: Vec<_> =
            layers.iter().map(|layer| blob("application/vnd.oci.image.layer.v1.tar+zstd", &layer.blob, layer.size)).collect();
        let manifest = serde_json::json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": blob(CONFIG, &config_digest, config_size),
            "layers": layer_blobs,
        });
        Ok(library.put(canonical_json(&manifest).as_bytes(), None)?.0)
    }
}

/// A layer in the library.
struct Layer {
    /// Digest of what is kept.
    blob: Digest,
    size: u64,
    /// Digest of the tar in it.
    content: Digest,
}

pub(crate) fn keep_embedded_layer(library: &Library, layer: &EmbeddedLayer) -> Result<(Digest, u64), StoreError> {
    library.put(layer.compressed(), None)
}

fn keep_embedded(library: &Library, layer: &EmbeddedLayer) -> Result<Layer, StoreError> {
    let (blob, size) = keep_embedded_layer(library, layer)?;
    Ok(Layer { blob, size, content: layer.diff_id() })
}

/// A tar on its way into the library: its digest is taken before it is compressed, and after.
struct LayerWriter {
    encoder: zstd::Encoder<'static, BlobWriter>,
    hasher: Sha256,
}

impl LayerWriter {
    fn new(library: &Library) -> Result<Self, StoreError> {
        let writer = library.writer()?;
        let encoder = zstd::Encoder::new(writer, 3).map_err(StoreError::io("compress into", Path::new("the library")))?;
        Ok(Self { encoder, hasher: Sha256::new() })
    }

    fn finish(self) -> Result<Layer, StoreError> {
        let writer = self.encoder.finish().map_err(StoreError::io("compress into", Path::new("the library")))?;
        let (blob, size) = writer.finish(None)?;
        Ok(Layer { blob, size, content: Digest::from_hash(&self.hasher.finalize()) })
    }
}

impl Write for LayerWriter {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let count = self.encoder.write(bytes)?;
        self.hasher.update(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.encoder.flush()
    }
}

/// True when `text` fits a pattern in which `*` stands for any characters but a slash.
pub(crate) fn fits(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((head, rest)) => {
            let Some(tail) = text.strip_prefix(head) else { return false };
            let end = tail.find('/').unwrap_or(tail.len());
            (0..=end).filter(|at| tail.is_char_boundary(*at)).any(|at| fits(rest, &tail[at..]))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recipes_are_sound() {
        for (name, _) in RECIPES {
            let recipe = Recipe::find(name).unwrap();
            for layer in &recipe.layers {
                assert!(EmbeddedLayer::find(layer).is_some(), "{name}: layers/{layer}");
            }
            assert!(recipe.config.cmd().is_some(), "{name}");
        }
        assert!(Recipe::find("none").is_err());
    }

    #[test]
    fn stars_stay_within_a_name() {
        let cases = [("a/*/c", "a/b/c", true), ("a/*", "a/b/c", false), ("lib*", "libllvm14", true), ("x*y*z", "x1y2z", true), ("a", "ab", false), ("*", "", true)];
        for (pattern, text, wanted) in cases {
            assert_eq!(fits(pattern, text), wanted, "{pattern} {text}");
        }
    }
}
