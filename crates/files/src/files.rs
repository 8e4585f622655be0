//! The files of all devices, for the upload handlers and for the admin API.

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
    room::{Quota, SpaceReservation, Usage},
    upload::{Blocks, Partial, Upload, Uploads},
};
use switchbox_model::{DeviceId, DeviceName, DeviceNum, RegistryName};
use switchbox_support::clock;

/// Folder of the files, in the data folder.
const FILES_FOLDER: &str = "files";
/// Folder of partial files, which are being uploaded, in the data folder. Emptied at the start.
const PARTIAL_FOLDER: &str = "uploads";

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
    /// Held while a file is stored, replaced or deleted, so that the size of the file before is read and released as one step.
    placing: Mutex<()>,
    /// The next name in `partial`.
    next: AtomicU64,
}

impl Handle {
    /// Counts the files that are there, and removes what uploads of the last run have left.
    pub fn open(options: &Options) -> io::Result<Self> {
        let (files, partial) = (options.data.join(FILES_FOLDER), options.data.join(PARTIAL_FOLDER));
        match fs::remove_dir_all(&partial) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            removed => removed?,
        }
        let usage = Usage::new(options.quota);
        folders::walk(&files, &mut |device, stored| usage.count_existing(device, stored.bytes))?;
        let (uploads, placing, next) = (Mutex::default(), Mutex::default(), AtomicU64::new(0));
        Ok(Self(Arc::new(Inner { data: options.data.clone(), files, partial, usage, uploads, placing, next })))
    }

    /// The size of all files, bytes, as the quota counts them.
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

    /// Begins a partial file: a whole file, or a block of one.
    pub fn start_writing(&self, upload: &Upload) -> Result<Writing, Error> {
        let room = SpaceReservation::of(&self.0.usage, &upload.device)?;
        folders::make(&self.0.data, &self.0.partial)?;
        let path = self.0.partial.join(self.0.next.fetch_add(1, Ordering::Relaxed).to_string());
        Ok(Writing::new(self, upload, &path, room)?)
    }

    /// Makes a file of blocks, in the order of `ids`; it is on the disk when this returns. With `only_new`, it fails with
    /// [`Error::Exists`] if there is such a file. After a failure the blocks are still there, so that the device can try again; a second
    /// call after a success returns the same file.
    pub fn commit_blocks(&self, upload: &Upload, ids: &[Vec<u8>], only_new: bool) -> Result<Stored, Error> {
        let mut blocks = match self.0.uploads.lock().take_blocks(upload, ids)? {
            Blocks::Stored(stored) => return Ok(stored),
            Blocks::Taken(blocks) => blocks,
        };
        let placed = match blocks.split_first_mut() {
            None => self.start_writing(upload)?.place(only_new),
            Some((first, others)) => self.join(upload, first, others, only_new),
        };
        let mut uploads = self.0.uploads.lock();
        match &placed {
            Ok(stored) => uploads.stored(upload, ids, *stored),
            Err(_) => uploads.return_blocks(upload, ids, blocks),
        }
        placed
    }

    /// Appends the other blocks to the first one, which becomes the file. After a failure the first one is as before.
    fn join(&self, upload: &Upload, first: &mut Partial, others: &[Partial], only_new: bool) -> Result<Stored, Error> {
        let mut file = OpenOptions::new().append(true).open(&first.path)?;
        let append = |file: &mut File| -> io::Result<()> {
            for block in others {
                io::copy(&mut File::open(&block.path)?, file)?;
            }
            file.sync_all()
        };
        let placed = append(&mut file).map_err(Error::from).and_then(|()| self.place(upload, first, only_new));
        if placed.is_err() {
            file.set_len(first.bytes)?;
        }
        placed
    }

    pub(crate) fn add_block(&self, upload: &Upload, id: Vec<u8>, block: Partial) -> Result<(), Error> {
        self.0.uploads.lock().add_block(upload, id, block)
    }

    /// Renames a partial file, whose bytes are on the disk, to the file of the upload.
    pub(crate) fn place(&self, upload: &Upload, partial: &mut Partial, only_new: bool) -> Result<Stored, Error> {
        let folder = folders::of_device(&self.0.files, &upload.device);
        folders::make(&self.0.data, &folder)?;
        let path = folder.join(upload.name.on_disk());
        let placing = self.0.placing.lock();
        let before = stored(&path)?;
        if only_new && before.is_some() {
            return Err(Error::Exists);
        }
        fs::rename(&partial.path, &path)?;
        let after = Stored::of(&fs::symlink_metadata(&path)?);
        if let Some(before) = before {
            self.0.usage.release(&upload.device, before.bytes);
        }
        partial.room.count_stored(after.bytes);
        drop(placing);
        folders::sync(&folder)?;
        self.0.uploads.lock().stored(upload, &[], after);
        Ok(after)
    }

    /// Files of a registry, or of one device in it, in the order of device ids and file names: at most `most` after the file `after`, which
    /// is a device id and a file name. The error: a folder cannot be read.
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
            let is_after = |name: &FileName| after.is_none_or(|place| (id.as_str(), name.as_str()) > place);
            let files = folders::files(&folder)?.into_iter().filter(|(name, _)| is_after(name));
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

    /// Deletes a file. Returns false if there is no such file.
    pub fn delete(&self, device: &DeviceName, name: &FileName) -> io::Result<bool> {
        let path = self.path(device, name);
        let _placing = self.0.placing.lock();
        let Some(before) = stored(&path)? else { return Ok(false) };
        fs::remove_file(&path)?;
        self.0.usage.release(device, before.bytes);
        path.parent().map_or(Ok(()), folders::sync)?;
        Ok(true)
    }

    fn path(&self, device: &DeviceName, name: &FileName) -> PathBuf {
        folders::of_device(&self.0.files, device).join(name.on_disk())
    }
}

/// A partial file while it is written, within the quota. [`Writing::place`] makes it a file; dropped before that, it is removed.
#[derive(Debug)]
pub struct Writing {
    handle: Handle,
    upload: Upload,
    file: File,
    partial: Partial,
}

impl Writing {
    pub(crate) fn new(handle: &Handle, upload: &Upload, path: &Path, room: SpaceReservation) -> io::Result<Self> {
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
        self.partial.room.reserve(self.partial.bytes)?;
        Ok(self.file.write_all(bytes)?)
    }

    /// Keeps it as a block for [`Handle::commit_blocks`]. It replaces an earlier block of the same id.
    pub fn keep_block(self, id: Vec<u8>) -> Result<(), Error> {
        self.handle.add_block(&self.upload, id, self.partial)
    }

    /// Makes it a file; it is on the disk when this returns. With `only_new`, it fails with [`Error::Exists`] if there is such a file.
    pub fn place(mut self, only_new: bool) -> Result<Stored, Error> {
        self.file.sync_all()?;
        self.handle.place(&self.upload, &mut self.partial, only_new)
    }
}

/// `None` if no file is there.
fn stored(path: &Path) -> io::Result<Option<Stored>> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        found => Ok(Some(Stored::of(&found?))),
    }
}
