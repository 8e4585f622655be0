//! Compiled code on disk, by the component's digest and the engine's compatibility hash. A file that is missing, torn or
//! of another engine only means compiling again.

use std::{
    fs,
    hash::{DefaultHasher, Hash, Hasher},
    io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use sha2::{Digest, Sha256};
use wasmtime::component::Component;

use super::error::Error;
use crate::store::private;

const HASH_BYTES: usize = 32;

/// The folder, for one engine.
pub(super) struct Cache {
    folder: PathBuf,
    engine: String,
}

impl Cache {
    pub(super) fn new(folder: PathBuf, engine: &wasmtime::Engine) -> Result<Self, Error> {
        private::make_folder(&folder).map_err(|source| Error::Cache { path: folder.display().to_string(), source })?;
        let mut hasher = DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        Ok(Self { folder, engine: format!("{:016x}", hasher.finish()) })
    }

    fn path(&self, digest: &str) -> PathBuf {
        let digest = digest.trim_start_matches("sha256:");
        self.folder.join(format!("{digest}-{}.cwasm", self.engine))
    }

    /// The compiled component, when it is there and whole.
    pub(super) fn get(&self, engine: &wasmtime::Engine, digest: &str) -> Option<Component> {
        let file = fs::read(self.path(digest)).ok()?;
        let (hash, code) = file.split_at_checked(HASH_BYTES)?;
        if Sha256::digest(code).as_slice() != hash {
            tracing::warn!(digest, "the compile cache has a broken file; compiling again");
            return None;
        }
        #[allow(
            unsafe_code,
            reason = "machine code is trusted here: only this host writes the folder (mode 0700), the hash shows that the \
                      file is what it wrote, and wasmtime refuses code of another engine"
        )]
        // SAFETY: see the reason above.
        let component = unsafe { Component::deserialize(engine, code) };
        component.inspect_err(|error| tracing::warn!(digest, %error, "the compile cache cannot be used")).ok()
    }

    /// Keeps it for the next start. That this fails costs only time.
    pub(super) fn put(&self, digest: &str, component: &Component) {
        let written = component.serialize().map_err(io::Error::other).and_then(|code| {
            let mut file = Sha256::digest(&code).to_vec();
            file.extend_from_slice(&code);
            write_whole(&self.path(digest), &file)
        });
        if let Err(error) = written {
            tracing::warn!(digest, %error, "the compile cache cannot be written");
        }
    }
}

/// Writes beside the file and renames, so that nobody ever reads half of it.
fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let unique = format!("{}-{}.tmp", std::process::id(), NEXT.fetch_add(1, Relaxed));
    let beside = path.with_extension(unique);
    fs::write(&beside, bytes).and_then(|()| fs::rename(&beside, path)).inspect_err(|_| drop(fs::remove_file(&beside)))
}
