//! Copies a data folder, also of a running host: first the documents, in one transaction, then the journal, which has at least as much. So
//! a host can start on the copy, which has everything that was acknowledged before the copy began. The host does not trim the journal
//! meanwhile.

use std::{
    collections::BTreeMap,
    env,
    fs::{self, File, OpenOptions},
    io::{self, Read, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{Error, decide, documents, lock::Lock, private, quarantine, schema};
use switchbox_journal::{Blocks, FOLDER, JournalPosition, inspect, segment::Segment, sync_folder};
use switchbox_support::clock;

/// The file with the [`Manifest`], in the backup's folder.
pub const MANIFEST: &str = "backup.json";
/// In the data folder, and not copied: locks, what can be made again, what was cut.
const LEFT_OUT: [&str; 8] =
    [FOLDER, "lock", "compiled", "recordings", "reserve", "uploads", quarantine::FOLDER, LOST_AND_FOUND];
/// In the root of a disk of its own: of the file system.
const LOST_AND_FOUND: &str = "lost+found";
/// What is restored, in a data folder that cannot be replaced, until it is whole.
const RESTORING: &str = ".restoring";
/// The watched folder, in the data folder and in a backup.
const PLUGINS: &str = "plugins";
/// Folders that the host keeps in the data folder. No backup is made in them. A file of any name may be in them, as devices upload files.
const OF_THE_HOST: [&str; 9] =
    [FOLDER, "audit", "compiled", "components", "files", PLUGINS, "recordings", "uploads", quarantine::FOLDER];
/// The name of a backup that is being made, or was interrupted, ends in this.
const PARTIAL: &str = ".partial";
/// Bytes that are read at once.
const CHUNK: u64 = 1024 * 1024;

/// What a backup contains.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// The version of the program that made it.
    pub version: String,
    /// When the backup was begun, RFC 3339.
    pub time: String,
    /// The last row of the journal.
    pub last_row: i64,
    /// The number of the last event.
    pub last_event: u64,
    /// Paths in the backup, with the SHA-256 of each file.
    pub files: BTreeMap<String, String>,
}

/// Copies the data folder to a new folder. `plugins`: the watched folder, if it is not `plugins` in the data folder, which is then left out.
/// Secrets are in the backup, as in the data folder: it is its owner's alone.
pub fn backup(data: &Path, plugins: Option<&Path>, to: &Path) -> Result<Manifest, Error> {
    let time = clock::rfc3339(clock::now_ms());
    let (data, to) = (&resolved(data)?, &resolved(to)?);
    refuse_partial(data)?;
    if fs::symlink_metadata(to).is_ok() {
        return Err(problem(to, &"it is there already; a backup is a new folder"));
    }
    let plugins = &plugins.map(existing_folder).transpose()?;
    refuse_folders_of_the_host(data, plugins.as_deref(), to)?;
    let partial = with_ending(to, PARTIAL);
    if partial.exists() {
        return Err(problem(&partial, &"a backup that was interrupted, or is being made; delete it first"));
    }
    make_folder(&partial)?;
    // The lock that keeps the host from trimming the journal.
    let folder = data.join(FOLDER);
    let journal_lock = File::open(&folder).map_err(|e| problem(&folder, &e))?;
    journal_lock.lock_shared().map_err(|e| problem(&folder, &e))?;
    let applied = copy_documents(data, &partial)?;
    let end = copy_journal(&folder, &partial.join(FOLDER))?;
    drop(journal_lock);
    if end.row < applied {
        let text = format!(
            "the journal ends with row {}, state.db knows row {applied}: `switchbox check` says what is damaged",
            end.row
        );
        return Err(Error::Damaged(format!("{}: {text}", folder.display())));
    }
    let watched = resolved(&data.join(PLUGINS))?;
    let other_plugins = plugins.as_ref().filter(|plugins| !plugins.starts_with(&watched));
    copy_rest(data, &partial, other_plugins.is_some())?;
    // One in the data folder was copied with the rest.
    if let Some(plugins) = other_plugins.filter(|plugins| !plugins.starts_with(data)) {
        copy_folder(plugins, &partial.join(PLUGINS), &|_| true)?;
    }
    let files = digests(&partial)?;
    let (last_row, last_event) = (end.row, end.last_seq.0);
    let manifest = Manifest { version: env!("CARGO_PKG_VERSION").into(), time, last_row, last_event, files };
    let text = serde_json::to_vec_pretty(&manifest).map_err(|e| problem(to, &e))?;
    write(&partial.join(MANIFEST), &text)?;
    put_in_place(&partial, to)?;
    Ok(manifest)
}

/// Makes a data folder of a backup, after everything in it was checked.
pub fn restore(from: &Path, data: &Path) -> Result<Manifest, Error> {
    let path = from.join(MANIFEST);
    let text = fs::read(&path).map_err(|e| problem(&path, &format!("this is not a backup: {e}")))?;
    let manifest: Manifest = serde_json::from_slice(&text).map_err(|e| problem(&path, &e))?;
    let found = digests(from)?;
    for (name, digest) in &manifest.files {
        match found.get(name) {
            Some(found) if found == digest => {}
            Some(_) => {
                return Err(Error::Damaged(format!("{}: it is not as it was written", from.join(name).display())));
            }
            None => return Err(Error::Damaged(format!("{}: it is missing", from.join(name).display()))),
        }
    }
    decide::decide(from)?;
    let data = &resolved(data)?;
    if fs::symlink_metadata(data).is_ok() && !data.is_dir() {
        return Err(problem(data, &"it is no folder, or a link to one that is missing; name a folder with --data"));
    }
    refuse_filled(data)?;
    let beside = with_ending(data, RESTORING);
    if beside.exists() {
        return Err(problem(&beside, &"a restore that was interrupted; delete it first"));
    }
    // Not removed where it has to stay: a mount point, the current folder, or one in a folder of another user.
    let is_current = env::current_dir().is_ok_and(|current| current == *data);
    let stays = data.is_dir() && (is_current || fs::remove_dir(data).is_err());
    let (_lock, partial) = if stays {
        // No host starts in the folder meanwhile, and none has since it was looked at.
        let lock = Lock::take(data)?;
        refuse_filled(data)?;
        (Some(lock), data.join(RESTORING))
    } else {
        (None, beside)
    };
    make_folder(&partial)?;
    copy_folder(from, &partial, &|found| found != path)?;
    if stays {
        move_up(&partial, data)?
    } else {
        put_in_place(&partial, data)?
    }
    Ok(manifest)
}

/// Refuses a folder in which there is something.
fn refuse_filled(data: &Path) -> Result<(), Error> {
    let name_of = |entry: io::Result<fs::DirEntry>| entry.map(|entry| entry.file_name()).unwrap_or_default();
    if fs::read_dir(data).is_ok_and(|mut entries| entries.any(|entry| name_of(entry) != LOST_AND_FOUND)) {
        return Err(problem(data, &"it is not empty; move what is in it away first, or name another with --data"));
    }
    Ok(())
}

/// Moves what is in the folder into `data`, which it is in. A host refuses to start on `data` until the folder is removed.
fn move_up(partial: &Path, data: &Path) -> Result<(), Error> {
    let put = || {
        for entry in fs::read_dir(partial)? {
            let entry = entry?;
            fs::rename(entry.path(), data.join(entry.file_name()))?;
        }
        sync_folder(data)?;
        fs::remove_dir(partial)?;
        sync_folder(data)
    };
    put().map_err(|e: io::Error| problem(data, &e))
}

/// Refuses a data folder in which a restore was interrupted, or is under way.
pub(super) fn refuse_partial(data: &Path) -> Result<(), Error> {
    let partial = data.join(RESTORING);
    if partial.exists() {
        let text = "a restore was interrupted, or is under way; delete what is in the data folder, and restore again";
        return Err(problem(&partial, &text));
    }
    Ok(())
}

/// Copies `state.db`. Returns the row up to which it has got.
fn copy_documents(data: &Path, to: &Path) -> Result<i64, Error> {
    // Held until they are copied, so that no host starts meanwhile. If a host is running, SQLite gives a consistent copy.
    let offline = match Lock::take(data) {
        Ok(lock) => Some(lock),
        Err(Error::Locked { .. }) => None,
        Err(error) => return Err(error),
    };
    let db = match &offline {
        Some(_) => schema::open_unchanged(data)?,
        None => Some(schema::open_reader(data)?),
    };
    let Some(db) = db else { return Ok(0) };
    let copy = schema::path(to);
    db.execute("VACUUM INTO ?1", [copy.to_str().ok_or_else(|| problem(&copy, &"its name is not UTF-8"))?])?;
    let copied = schema::open_unchanged(to)?;
    set_private(&copy)?;
    copied.map_or(Ok(0), |db| documents::applied(&db))
}

/// Copies each file of the journal up to its last whole record. Returns the end of the copy.
fn copy_journal(from: &Path, to: &Path) -> Result<JournalPosition, Error> {
    make_folder(to)?;
    let mut end = JournalPosition::default();
    let files = inspect::files(from)?;
    for path in inspect::gap_notes(from)?.iter().chain(&files) {
        let name = to.join(path.file_name().unwrap_or_default());
        if !files.contains(path) {
            copy_file(path, &name)?;
            continue;
        }
        // A file without a header was only just begun.
        let Some(segment) = Segment::read(path)? else { continue };
        copy_segment(&segment, &name).map_err(|e| problem(path, &e))?;
        end = segment.end();
    }
    Ok(end)
}

fn copy_segment(segment: &Segment, to: &Path) -> io::Result<()> {
    let (file, used) = (segment.file(), segment.used());
    let (mut blocks, mut copy) = (Blocks::default(), create(to)?);
    let mut at = 0;
    while at < used {
        let next = at..(at + CHUNK).min(used);
        at = next.end;
        let found = file.read(next, &mut blocks)?;
        copy.write_all(blocks.bytes().get(found).unwrap_or_default())?;
    }
    copy.sync_all()
}

/// Refuses a backup in a folder whose files the host lists, deletes or copies.
fn refuse_folders_of_the_host(data: &Path, plugins: Option<&Path>, to: &Path) -> Result<(), Error> {
    for folder in OF_THE_HOST.iter().map(|name| data.join(name)).chain(plugins.map(Path::to_owned)) {
        if to.starts_with(resolved(&folder)?) {
            let text = format!("{} is a folder of the host; name one elsewhere for the backup", folder.display());
            return Err(problem(to, &text));
        }
    }
    Ok(())
}

/// The folder, which has to be there.
fn existing_folder(path: &Path) -> Result<PathBuf, Error> {
    if path.is_dir() {
        return resolved(path);
    }
    Err(problem(path, &"there is no such folder; name the watched folder with --plugins"))
}

/// Copies the other files and folders, except [`LEFT_OUT`] and backups. `other_plugins`: [`PLUGINS`] is not in force, and left out.
fn copy_rest(data: &Path, partial: &Path, other_plugins: bool) -> Result<(), Error> {
    let documents = [data.join("state.db"), data.join("state.db-wal"), data.join("state.db-shm")];
    for entry in fs::read_dir(data).map_err(|e| problem(data, &e))? {
        let path = entry.map_err(|e| problem(data, &e))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let is_of_the_host = OF_THE_HOST.contains(&name.as_str());
        let is_left_out = LEFT_OUT.contains(&name.as_str()) || documents.contains(&path);
        if is_left_out || (other_plugins && name == PLUGINS) || (!is_of_the_host && is_backup(&path)) {
            continue;
        }
        if path.is_dir() {
            copy_folder(&path, &partial.join(name), &|path| is_of_the_host || !is_backup(path))?;
        } else {
            copy_file(&path, &partial.join(name))?;
        }
    }
    Ok(())
}

/// Whether the path is the folder of a backup, also of one that is being made or was interrupted.
fn is_backup(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.join(MANIFEST).exists() || (name.ends_with(PARTIAL) && path.join(FOLDER).is_dir())
}

/// Copies what `matches`, at every depth. Links are followed, so that the copy is complete.
fn copy_folder(from: &Path, to: &Path, matches: &dyn Fn(&Path) -> bool) -> Result<(), Error> {
    make_folder(to)?;
    for entry in fs::read_dir(from).map_err(|e| problem(from, &e))? {
        let path = entry.map_err(|e| problem(from, &e))?.path();
        let name = path.file_name().unwrap_or_default();
        if !matches(&path) {
            continue;
        }
        if path.is_dir() {
            copy_folder(&path, &to.join(name), matches)?;
        } else {
            copy_file(&path, &to.join(name))?;
        }
    }
    Ok(())
}

fn copy_file(from: &Path, to: &Path) -> Result<(), Error> {
    let mut source = match File::open(from) {
        // The file was removed after it was listed; the host does not need it.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        source => source.map_err(|e| problem(from, &e))?,
    };
    let copied = create(to).and_then(|mut copy| {
        io::copy(&mut source, &mut copy)?;
        copy.sync_all()
    });
    copied.map_err(|e| problem(from, &e))
}

/// The SHA-256 of each file in the folder, except the manifest.
fn digests(folder: &Path) -> Result<BTreeMap<String, String>, Error> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).map_err(|e| problem(&next, &e))? {
            let path = entry.map_err(|e| problem(&next, &e))?.path();
            let name = path.strip_prefix(folder).unwrap_or(&path).display().to_string();
            if path.is_dir() {
                folders.push(path);
            } else if name != MANIFEST {
                found.insert(name, digest(&path).map_err(|e| problem(&path, &e))?);
            }
        }
    }
    Ok(found)
}

fn digest(path: &Path) -> io::Result<String> {
    let (mut file, mut sum) = (File::open(path)?, Sha256::new());
    let mut chunk = vec![0; 64 * 1024];
    loop {
        let read = file.read(&mut chunk)?;
        if read == 0 {
            return Ok(sum.finalize().iter().map(|byte| format!("{byte:02x}")).collect());
        }
        sum.update(chunk.get(..read).unwrap_or_default());
    }
}

/// The absolute path without links, as far as it exists.
fn resolved(path: &Path) -> Result<PathBuf, Error> {
    let absolute = std::path::absolute(path).map_err(|e| problem(path, &e))?;
    let found = absolute.ancestors().find_map(|above| Some((above, fs::canonicalize(above).ok()?)));
    let rest = |above: &Path| absolute.strip_prefix(above).map(Path::to_owned).unwrap_or_default();
    // `join` of an empty path would add a slash at the end.
    Ok(found
        .map_or_else(|| absolute.clone(), |(above, real)| real.components().chain(rest(above).components()).collect()))
}

fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(ending);
    path.with_file_name(name)
}

fn make_folder(folder: &Path) -> Result<(), Error> {
    private::make_folder(folder).map_err(|e| problem(folder, &e))
}

fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

fn set_private(path: &Path) -> Result<(), Error> {
    use std::os::unix::fs::PermissionsExt as _;
    let set = || {
        fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
        File::open(path)?.sync_all()
    };
    set().map_err(|e: io::Error| problem(path, &e))
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let written = create(path).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    written.map_err(|e| problem(path, &e))
}

fn put_in_place(partial: &Path, to: &Path) -> Result<(), Error> {
    let parent = to.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    let put = || {
        sync_folder(partial)?;
        fs::rename(partial, to)?;
        sync_folder(parent)
    };
    put().map_err(|e: io::Error| problem(to, &e))
}

fn problem(path: &Path, problem: &dyn std::fmt::Display) -> Error {
    Error::Open { path: path.display().to_string(), problem: problem.to_string() }
}
