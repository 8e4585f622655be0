//! The files of all devices, for those who take them from devices and show them to operators.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use parking_lot::Mutex;

use crate::{
    error::Error,
    folders::{self, Stored, StoredFile},
    name::FileName,
    room::{Quota, Room, Usage},
    upload::{Blocks, Partial, Upload, Uploads},
};
use switchbox_model::{DeviceId, DeviceName, DeviceNum, RegistryName};
use switchbox_support::clock;

/// In the data folder: the files.
const FILES: &str = "files";
/// In the data folder: what is being uploaded. Emptied at the start.
const UPLOADS: &str = "uploads";

#[derive(Debug, Clone)]
pub struct Options {
    /// The host's data folder.
    pub data: PathBuf,
    pub quota: Quota,
}

/// Cheap to clone.
#[derive(Debug, Clone)]
pub struct Handle(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    data: PathBuf,
    files: PathBuf,
    partial: PathBuf,
    usage: Arc<Usage>,
    uploads: Mutex<Uploads>,
    /// Held while a file takes its place or leaves it, so that what it counts as is known.
    placing: Mutex<()>,
    /// The next name in `partial`.
    next: AtomicU64,
}

impl Handle {
    /// Counts the files that are there, and removes what uploads of the last run have left.
    pub fn open(options: &Options) -> io::Result<Self> {
        let (files, partial) = (options.data.join(FILES), options.data.join(UPLOADS));
        match fs::remove_dir_all(&partial) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            removed => removed?,
        }
        let usage = Usage::new(options.quota);
        folders::walk(&files, &mut |device, stored| usage.note(device, stored.bytes))?;
        let (uploads, placing, next) = (Mutex::default(), Mutex::default(), AtomicU64::new(0));
        Ok(Self(Arc::new(Inner { data: options.data.clone(), files, partial, usage, uploads, placing, next })))
    }

    /// What all files count as, bytes.
    #[must_use]
    pub fn taken(&self) -> u64 {
        self.0.usage.taken(None)
    }

    /// Lets a device upload one file.
    pub fn begin(&self, device: &DeviceName, num: DeviceNum, name: FileName) -> Result<Upload, Error> {
        self.0.uploads.lock().begin(device, num, name, clock::now_ms())
    }

    /// The upload of this id. `None` if there is none, or its time has run out.
    #[must_use]
    pub fn find(&self, id: &str) -> Option<Upload> {
        self.0.uploads.lock().find(id, clock::now_ms()).cloned()
    }

    /// Ends the upload of this device. Returns whether its file was stored.
    pub fn end(&self, id: &str, num: DeviceNum) -> Result<bool, Error> {
        self.0.uploads.lock().end(id, num)
    }

    /// Removes uploads whose time has run out, with what they have written.
    pub fn remove_expired(&self) {
        self.0.uploads.lock().remove_expired(clock::now_ms());
    }

    /// Begins to write a file, or a block of one.
    pub fn write(&self, upload: &Upload) -> Result<Writing, Error> {
        let room = Room::of(&self.0.usage, &upload.device)?;
        folders::make(&self.0.data, &self.0.partial)?;
        let path = self.0.partial.join(self.0.next.fetch_add(1, Ordering::Relaxed).to_string());
        Ok(Writing::new(self, upload, &path, room)?)
    }

    /// Puts a file together of blocks, and into its place; it is on the disk when this returns. A second time with the same blocks, it
    /// does nothing.
    pub fn put_together(&self, upload: &Upload, ids: &[Vec<u8>], only_new: bool) -> Result<Stored, Error> {
        let blocks = match self.0.uploads.lock().take_blocks(upload, ids)? {
            Blocks::Stored(stored) => return Ok(stored),
            Blocks::Taken(blocks) => blocks,
        };
        let mut blocks = blocks.into_iter();
        let Some(mut whole) = blocks.next() else {
            let stored = self.write(upload)?.place(only_new)?;
            self.0.uploads.lock().stored(upload, ids, stored);
            return Ok(stored);
        };
        let mut file = OpenOptions::new().append(true).open(&whole.path)?;
        for mut block in blocks {
            whole.bytes += io::copy(&mut File::open(&block.path)?, &mut file)?;
            whole.room.join(&mut block.room);
        }
        file.sync_all()?;
        let stored = self.place(upload, whole, only_new)?;
        self.0.uploads.lock().stored(upload, ids, stored);
        Ok(stored)
    }

    pub(crate) fn add_block(&self, upload: &Upload, id: Vec<u8>, block: Partial) -> Result<(), Error> {
        self.0.uploads.lock().add_block(upload, id, block)
    }

    /// Its bytes are on the disk already; then its name is.
    pub(crate) fn place(&self, upload: &Upload, mut partial: Partial, only_new: bool) -> Result<Stored, Error> {
        let folder = folders::of_device(&self.0.files, &upload.device);
        folders::make(&self.0.data, &folder)?;
        let path = folder.join(upload.name.on_disk());
        let placing = self.0.placing.lock();
        let before = stored(&path)?;
        if only_new && before.is_some() {
            return Err(Error::Exists);
        }
        fs::rename(&partial.path, &path)?;
        folders::sync(&folder)?;
        let after = Stored::of(&fs::symlink_metadata(&path)?);
        if let Some(before) = before {
            self.0.usage.give_back(&upload.device, before.bytes);
        }
        partial.room.keep(after.bytes);
        drop(placing);
        self.0.uploads.lock().stored(upload, &[], after);
        Ok(after)
    }

    /// Files of a registry, or of one device in it, in the order of devices and names: at most so many behind `after`.
    pub fn list(
        &self,
        registry: &RegistryName,
        device: Option<&DeviceId>,
        after: Option<(&str, &str)>,
        most: usize,
    ) -> io::Result<Vec<StoredFile>> {
        let devices = match device {
            Some(device) => vec![device.clone()],
            None => {
                let folders = folders::names(&folders::of_registry(&self.0.files, registry))?;
                folders.iter().filter_map(|id| DeviceId::new(id).ok()).collect()
            }
        };
        let mut found = Vec::new();
        for id in devices.into_iter().filter(|id| after.is_none_or(|(device, _)| id.as_str() >= device)) {
            let folder = folders::of_device(&self.0.files, &DeviceName { registry: registry.clone(), id: id.clone() });
            let is_behind = |name: &FileName| after.is_none_or(|place| (id.as_str(), name.as_str()) > place);
            let files = folders::files(&folder)?.into_iter().filter(|(name, _)| is_behind(name));
            let left = most.saturating_sub(found.len());
            found.extend(files.take(left).map(|(name, stored)| StoredFile { device: id.clone(), name, stored }));
            if found.len() >= most {
                break;
            }
        }
        Ok(found)
    }

    /// `None` if there is no such file.
    pub fn open_file(&self, device: &DeviceName, name: &FileName) -> io::Result<Option<(File, Stored)>> {
        match File::open(self.path(device, name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            opened => {
                let file = opened?;
                let stored = Stored::of(&file.metadata()?);
                Ok(Some((file, stored)))
            }
        }
    }

    /// Returns whether there was such a file.
    pub fn delete(&self, device: &DeviceName, name: &FileName) -> io::Result<bool> {
        let path = self.path(device, name);
        let _placing = self.0.placing.lock();
        let Some(before) = stored(&path)? else { return Ok(false) };
        fs::remove_file(&path)?;
        self.0.usage.give_back(device, before.bytes);
        path.parent().map_or(Ok(()), folders::sync)?;
        Ok(true)
    }

    fn path(&self, device: &DeviceName, name: &FileName) -> PathBuf {
        folders::of_device(&self.0.files, device).join(name.on_disk())
    }
}

/// One file while it is written: beside its place, within the quota, and put into its place whole. Dropped before that, it leaves nothing.
#[derive(Debug)]
pub struct Writing {
    handle: Handle,
    upload: Upload,
    file: File,
    partial: Partial,
}

impl Writing {
    pub(crate) fn new(handle: &Handle, upload: &Upload, path: &Path, room: Room) -> io::Result<Self> {
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        let partial = Partial { path: path.to_owned(), bytes: 0, room };
        Ok(Self { handle: handle.clone(), upload: upload.clone(), file, partial })
    }

    /// Adds to the file. Fails when the quota is used up, or the upload's time.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        if clock::now_ms() >= self.upload.expires_ms {
            return Err(Error::NoUpload);
        }
        self.partial.bytes += bytes.len() as u64;
        self.partial.room.hold(self.partial.bytes)?;
        Ok(self.file.write_all(bytes)?)
    }

    /// Keeps it as a block of a file that is put together later. A block of the same id before it is gone.
    pub fn keep_block(self, id: Vec<u8>) -> Result<(), Error> {
        self.handle.add_block(&self.upload, id, self.partial)
    }

    /// Puts the whole file into its place; it is on the disk when this returns. With `only_new`, it takes no other's place.
    pub fn place(self, only_new: bool) -> Result<Stored, Error> {
        self.file.sync_all()?;
        self.handle.place(&self.upload, self.partial, only_new)
    }
}

/// `None` if no file is there.
fn stored(path: &Path) -> io::Result<Option<Stored>> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        found => Ok(Some(Stored::of(&found?))),
    }
}
