//! Images: names, the catalogue, and a store of unpacked layers.
//!
//! A name goes through three steps. [`Reference::parse`] gives it its full form (`kiamol/ch02-whoami` is
//! `docker.io/kiamol/ch02-whoami:latest`). The [`Catalogue`] says how that image is obtained. [`Store::pull`] obtains
//! it: the layers are unpacked once, next to each other, as plain directories, and the caller gets an [`Image`] whose
//! `layers` it can hand to overlayfs as `lowerdir`s, lowest first.
//!
//! Bundled images are made of the userland binary (built by `build.rs`, embedded compressed) and of the files under
//! `layers/`. Nothing is fetched from a network here.
//!
//! # Invariants
//! * Every digest is real: a layer's is the SHA-256 of its tar, an image's id that of its configuration, an image's
//!   digest that of its manifest. The same build gives the same digests everywhere.
//! * A layer directory appears under its final name by one `rename`, complete, and is never written to again.
//!   Several processes may open the same store.
//! * Unpacking works as root of a user namespace: ids that are not mapped are left as they are.
//! * A layer is foreign input: no entry of it is written outside its directory.
//! * Nothing here knows pods, and nothing here is async.

mod archive;
mod catalogue;
mod digest;
mod error;
mod reference;
mod store;
mod unpack;

pub use catalogue::{Bundled, Catalogue, CatalogueError, Entry, Source};
pub use digest::Digest;
pub use error::{PullError, PullErrorKind, StoreError};
pub use oci_spec::image::ImageConfiguration;
pub use reference::{InvalidReference, Reference};
pub use store::{Image, PullPolicy, Pulled, Store, StoreDirs};
