//! Compiled code on disk, by the component's digest and the engine's compatibility hash. If a file is missing, torn or of another
//! engine, the component is compiled again. Unused files are removed, and the files are bounded in number and bytes.

use std::{
    collections::HashSet,
    fs,
    hash::{DefaultHasher, Hash, Hasher},
    io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::{Duration, SystemTime},
};

use sha2::{Digest, Sha256};
use wasmtime::component::Component;

use super::error::Error;
use switchbox_model::limits::{COMPILED_BYTES, COMPILED_FILES};
use switchbox_store::private;
use switchbox_support::clock;

const HASH_BYTES: usize = 32;

/// The cache folder, for one engine.
pub(super) struct Cache {
    folder: PathBuf,
    engine: String,
}

/// A file of the folder.
struct CachedFile {
    path: PathBuf,
    bytes: u64,
    /// When it was last written or read by a host.
    used: SystemTime,
}

impl Cache {
    pub(super) fn new(folder: PathBuf, engine: &wasmtime::Engine) -> Result<Self, Error> {
        private::make_folder(&folder).map_err(|source| Error::Cache { path: folder.display().to_string(), source })?;
        let mut hasher = DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        let cache = Self { folder, engine: format!("{:016x}", hasher.finish()) };
        // Removes incomplete files, and code that another version of the host has compiled.
        cache.remove(|path| !cache.is_own(path));
        Ok(cache)
    }

    fn path(&self, digest: &str) -> PathBuf {
        self.folder.join(format!("{}{}", hex(digest), self.ending()))
    }

    fn ending(&self) -> String {
        format!("-{}.cwasm", self.engine)
    }

    fn is_own(&self, path: &Path) -> bool {
        path.file_name().is_some_and(|name| name.to_string_lossy().ends_with(&self.ending()))
    }

    /// The compiled component. Returns `None` if there is no complete file.
    pub(super) fn get(&self, engine: &wasmtime::Engine, digest: &str) -> Option<Component> {
        let path = self.path(digest);
        let file = fs::read(&path).ok()?;
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
        let component =
            component.inspect_err(|error| tracing::warn!(digest, %error, "the compile cache cannot be used"));
        let now = SystemTime::UNIX_EPOCH + Duration::from_millis(clock::now_ms());
        // Only the order of removal depends on this time.
        let _ = fs::File::open(&path).and_then(|file| file.set_modified(now));
        component.ok()
    }

    /// Stores compiled code for the next start. A failure only costs compiling again.
    pub(super) fn put(&self, digest: &str, code: &[u8]) {
        let mut file = Sha256::digest(code).to_vec();
        file.extend_from_slice(code);
        if let Err(error) = write_whole(&self.path(digest), &file) {
            tracing::warn!(digest, %error, "the compile cache cannot be written");
        }
        self.bound(COMPILED_FILES, COMPILED_BYTES);
    }

    /// Removes all files but those of these components.
    pub(super) fn retain(&self, digests: &HashSet<String>) {
        let used: HashSet<_> = digests.iter().map(|digest| self.path(digest)).collect();
        self.remove(|path| !used.contains(path));
    }

    fn files(&self) -> Vec<CachedFile> {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let files = entries.filter_map(|entry| {
            let metadata = entry.metadata().ok().filter(fs::Metadata::is_file)?;
            Some(CachedFile { path: entry.path(), bytes: metadata.len(), used: metadata.modified().ok()? })
        });
        files.collect()
    }

    fn remove(&self, is_unused: impl Fn(&Path) -> bool) {
        for file in self.files().iter().filter(|file| is_unused(&file.path)) {
            remove(&file.path);
        }
    }

    /// Removes the least recently used files past the bounds.
    fn bound(&self, most_files: usize, most_bytes: u64) {
        let mut files = self.files();
        files.sort_by_key(|file| std::cmp::Reverse(file.used));
        let mut bytes = 0_u64;
        for (place, file) in files.iter().enumerate() {
            bytes = bytes.saturating_add(file.bytes);
            // The newest file is kept, because its plugin is about to run.
            if place > 0 && (place >= most_files || bytes > most_bytes) {
                remove(&file.path);
            }
        }
    }
}

fn hex(digest: &str) -> &str {
    digest.trim_start_matches("sha256:")
}

fn remove(path: &Path) {
    if let Err(error) = fs::remove_file(path)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(path = %path.display(), %error, "an old file of the compile cache cannot be removed");
    }
}

/// Writes a temporary file and renames it, so that no reader sees an incomplete one.
fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let unique = format!("{}-{}.tmp", std::process::id(), NEXT.fetch_add(1, Relaxed));
    let beside = path.with_extension(unique);
    fs::write(&beside, bytes).and_then(|()| fs::rename(&beside, path)).inspect_err(|_| drop(fs::remove_file(&beside)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache(folder: &Path) -> Cache {
        Cache::new(folder.join("compiled"), &wasmtime::Engine::default()).unwrap()
    }

    fn names(cache: &Cache) -> Vec<String> {
        let name = |file: &CachedFile| file.path.file_name().unwrap().to_string_lossy().chars().take(1).collect();
        let mut names: Vec<String> = cache.files().iter().map(name).collect();
        names.sort();
        names
    }

    #[test]
    fn what_is_not_used_goes_and_what_is_too_much_goes_oldest_first() {
        let data = tempfile::tempdir().unwrap();
        let cache = cache(data.path());
        for (age, digest) in ["sha256:a", "sha256:b", "sha256:c", "sha256:d"].into_iter().rev().enumerate() {
            cache.put(digest, &[7; 1_000]);
            let file = fs::File::options().write(true).open(cache.path(digest)).unwrap();
            file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(1_000 - age as u64)).unwrap();
        }
        cache.bound(4, 4 * 1_032);
        assert_eq!(names(&cache), ["a", "b", "c", "d"]);
        cache.bound(3, 1 << 20);
        assert_eq!(names(&cache), ["b", "c", "d"]);
        cache.bound(4, 2_100);
        assert_eq!(names(&cache), ["c", "d"]);
        cache.retain(&HashSet::from(["sha256:c".to_owned()]));
        assert_eq!(names(&cache), ["c"]);
        cache.bound(0, 0);
        assert_eq!(names(&cache), ["c"], "the newest stays");
    }

    #[test]
    fn at_the_start_halves_of_files_and_other_engines_code_go() {
        let data = tempfile::tempdir().unwrap();
        let first = cache(data.path());
        first.put("sha256:a", b"code");
        for name in ["b-0123456789abcdef.cwasm", "c-1-2.tmp"] {
            fs::write(first.folder.join(name), b"x").unwrap();
        }
        assert_eq!(names(&cache(data.path())), ["a"]);
    }
}
