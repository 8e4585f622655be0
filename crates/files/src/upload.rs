//! Uploads under way: in memory, so that they end with the host. What they have written so far is removed with them.

use std::{
    collections::{HashMap, HashSet},
    fs,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use crate::{error::Error, folders::Stored, name::FileName, room::SpaceReservation};
use switchbox_model::{
    DeviceName, DeviceNum,
    limits::{UPLOADS, UPLOADS_PER_DEVICE, names},
};

/// How long a device may take from asking for an upload to its end.
pub const UPLOAD_TIME: Duration = Duration::from_secs(60 * 60);

/// What a device may upload. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Upload {
    /// Names it among all; nobody can guess it.
    pub id: Arc<str>,
    pub device: DeviceName,
    pub num: DeviceNum,
    pub name: FileName,
    pub key: UploadKey,
    /// When its time runs out, milliseconds since the Unix epoch.
    pub expires_ms: u64,
}

/// A secret of the host, to sign the upload's address with.
#[derive(Clone)]
pub struct UploadKey(Arc<[u8; 32]>);

impl UploadKey {
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &*self.0
    }
}

impl std::fmt::Debug for UploadKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("UploadKey")
    }
}

/// A partial file; it is removed when this is dropped.
#[derive(Debug)]
pub(crate) struct Partial {
    pub(crate) path: PathBuf,
    pub(crate) bytes: u64,
    pub(crate) room: SpaceReservation,
}

impl Drop for Partial {
    fn drop(&mut self) {
        // It is not there if it was renamed to the file.
        let _ = fs::remove_file(&self.path);
    }
}

#[derive(Debug)]
struct UnderWay {
    upload: Upload,
    /// By their ids, which the device chooses.
    blocks: HashMap<Vec<u8>, Partial>,
    /// The file that was stored, and the ids of its blocks; none for a file that was uploaded whole.
    stored: Option<(Vec<Vec<u8>>, Stored)>,
}

/// The blocks that a file is to be made of.
pub(crate) enum Blocks {
    Taken(Vec<Partial>),
    /// The file was made of the same blocks before.
    Stored(Stored),
}

/// All of them, by their ids.
#[derive(Debug, Default)]
pub(crate) struct Uploads(HashMap<Arc<str>, UnderWay>);

impl Uploads {
    pub(crate) fn begin(
        &mut self,
        device: &DeviceName,
        num: DeviceNum,
        name: FileName,
        now_ms: u64,
    ) -> Result<Upload, Error> {
        self.remove_expired(now_ms);
        let own = self.0.values().filter(|under_way| under_way.upload.device == *device).count();
        if own >= UPLOADS_PER_DEVICE {
            let text = format!("a device may have {UPLOADS_PER_DEVICE} uploads under way; end one by its notification");
            return Err(Error::Full { text, limit: names::UPLOADS_PER_DEVICE });
        }
        if self.0.len() >= UPLOADS {
            let text = format!("{UPLOADS} uploads are under way; ask again later");
            return Err(Error::Full { text, limit: names::UPLOADS });
        }
        let (mut id, mut key) = ([0; 16], [0; 32]);
        let random = getrandom::fill(&mut id).and_then(|()| getrandom::fill(&mut key));
        random.map_err(|error| std::io::Error::other(error.to_string()))?;
        let upload = Upload {
            id: id.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into(),
            device: device.clone(),
            num,
            name,
            key: UploadKey(Arc::new(key)),
            expires_ms: now_ms.saturating_add(u64::try_from(UPLOAD_TIME.as_millis()).unwrap_or(u64::MAX)),
        };
        let under_way = UnderWay { upload: upload.clone(), blocks: HashMap::new(), stored: None };
        self.0.insert(upload.id.clone(), under_way);
        Ok(upload)
    }

    pub(crate) fn find(&self, id: &str, now_ms: u64) -> Option<&Upload> {
        Some(&self.0.get(id)?.upload).filter(|upload| now_ms < upload.expires_ms)
    }

    pub(crate) fn add_block(&mut self, upload: &Upload, id: Vec<u8>, block: Partial) -> Result<(), Error> {
        let under_way = self.0.get_mut(&upload.id).ok_or(Error::NoUpload)?;
        under_way.blocks.insert(id, block);
        Ok(())
    }

    /// Takes the blocks of these ids, in this order. The error: an id is unknown, or given twice; then none is taken.
    pub(crate) fn take_blocks(&mut self, upload: &Upload, ids: &[Vec<u8>]) -> Result<Blocks, Error> {
        let under_way = self.0.get_mut(&upload.id).ok_or(Error::NoUpload)?;
        if let Some((_, stored)) = under_way.stored.as_ref().filter(|(of, _)| !ids.is_empty() && of == ids) {
            return Ok(Blocks::Stored(*stored));
        }
        let mut seen = HashSet::new();
        let missing = ids.iter().find(|id| !under_way.blocks.contains_key(*id) || !seen.insert(*id));
        if let Some(id) = missing {
            return Err(Error::Block(String::from_utf8_lossy(id).into_owned()));
        }
        Ok(Blocks::Taken(ids.iter().filter_map(|id| under_way.blocks.remove(id)).collect()))
    }

    /// A file was stored. The other blocks of the upload are removed.
    pub(crate) fn stored(&mut self, upload: &Upload, ids: &[Vec<u8>], stored: Stored) {
        if let Some(under_way) = self.0.get_mut(&upload.id) {
            (under_way.stored, under_way.blocks) = (Some((ids.to_vec(), stored)), HashMap::new());
        }
    }

    /// Takes back blocks that could not be made a file, except those whose partial file is gone.
    pub(crate) fn return_blocks(&mut self, upload: &Upload, ids: &[Vec<u8>], blocks: Vec<Partial>) {
        if let Some(under_way) = self.0.get_mut(&upload.id) {
            let kept = ids.iter().cloned().zip(blocks).filter(|(_, block)| block.path.exists());
            under_way.blocks.extend(kept);
        }
    }

    /// Ends it. Returns whether a file was stored.
    pub(crate) fn end(&mut self, id: &str, num: DeviceNum) -> Result<bool, Error> {
        if self.0.get(id).is_none_or(|under_way| under_way.upload.num != num) {
            return Err(Error::NoUpload);
        }
        Ok(self.0.remove(id).is_some_and(|under_way| under_way.stored.is_some()))
    }

    pub(crate) fn remove_expired(&mut self, now_ms: u64) {
        self.0.retain(|_, under_way| now_ms < under_way.upload.expires_ms);
    }
}
