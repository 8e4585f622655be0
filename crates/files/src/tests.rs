//! Uploads in a real folder: which files are there afterwards, and what the quota counts.

use tempfile::TempDir;

use crate::{Error, FileName, Handle, Options, Quota, Upload, room::UNIT};
use switchbox_model::{DeviceId, DeviceName, DeviceNum, RegistryName, limits::UPLOADS_PER_DEVICE};

fn device(id: &str) -> DeviceName {
    DeviceName { registry: RegistryName::default_registry(), id: DeviceId::new(id).unwrap() }
}

fn open(folder: &TempDir, of_device: u64, of_all: u64) -> Handle {
    let quota = Quota { device_bytes: of_device * UNIT, total_bytes: of_all * UNIT };
    Handle::open(&Options { data: folder.path().to_owned(), quota }).unwrap()
}

fn begin(files: &Handle, id: &str, name: &str) -> Upload {
    files.begin(&device(id), DeviceNum(1), FileName::new(name).unwrap()).unwrap()
}

fn put(files: &Handle, upload: &Upload, bytes: u64) -> Result<(), Error> {
    let mut writing = files.start_writing(upload)?;
    writing.write(&vec![7; bytes as usize])?;
    writing.place(false).map(drop)
}

fn block(files: &Handle, upload: &Upload, id: &str, bytes: &[u8]) -> Result<(), Error> {
    let mut writing = files.start_writing(upload)?;
    writing.write(bytes)?;
    writing.keep_block(id.into())
}

fn partial_files(folder: &TempDir) -> usize {
    std::fs::read_dir(folder.path().join("uploads")).map_or(0, Iterator::count)
}

#[test]
fn files_and_partial_files_are_counted_until_they_are_removed() {
    let folder = tempfile::tempdir().unwrap();
    let files = open(&folder, 4, 6);
    let (one, other) = (begin(&files, "one", "a"), begin(&files, "other", "a"));
    put(&files, &one, 3 * UNIT).unwrap();
    assert_eq!(files.taken(), 3 * UNIT);
    // It replaces the earlier file, which counts until then.
    assert!(matches!(put(&files, &one, 2 * UNIT), Err(Error::Full { .. })));
    assert_eq!((files.taken(), partial_files(&folder)), (3 * UNIT, 0));
    put(&files, &one, 1).unwrap();
    assert_eq!(files.taken(), UNIT);
    put(&files, &other, 4 * UNIT).unwrap();
    block(&files, &one, "a", b"x").unwrap();
    assert_eq!(files.taken(), 6 * UNIT);
    let full = block(&files, &one, "b", b"x").unwrap_err();
    assert!(full.to_string().contains("files_total_bytes"), "{full}");
    // What was counted is what a start counts.
    assert!(files.end(&one.id, DeviceNum(1)).unwrap());
    assert_eq!((files.taken(), partial_files(&folder)), (5 * UNIT, 0));
    assert_eq!(open(&folder, 1, 1).taken(), 5 * UNIT);
    assert!(files.delete(&device("other"), &other.name).unwrap());
    assert!(!files.delete(&device("other"), &other.name).unwrap());
    assert_eq!(files.taken(), UNIT);
}

#[test]
fn blocks_become_a_file_once_and_in_their_order() {
    let folder = tempfile::tempdir().unwrap();
    let files = open(&folder, 8, 8);
    let upload = begin(&files, "one", "a/b");
    for (id, bytes) in [("1", "world"), ("2", "hello "), ("3", "unused")] {
        block(&files, &upload, id, bytes.as_bytes()).unwrap();
    }
    let ids = |ids: &[&str]| ids.iter().map(|id| id.as_bytes().to_vec()).collect::<Vec<_>>();
    for wrong in [ids(&["2", "4"]), ids(&["1", "1"])] {
        assert!(matches!(files.commit_blocks(&upload, &wrong, false), Err(Error::Block(_))), "{wrong:?}");
    }
    // A failure leaves the blocks as they were.
    put(&files, &begin(&files, "one", "a/b"), 1).unwrap();
    let again = files.commit_blocks(&upload, &ids(&["2", "1"]), true);
    assert!(matches!(again, Err(Error::Exists)), "{again:?}");
    assert_eq!((partial_files(&folder), files.taken()), (3, 4 * UNIT));
    assert!(files.delete(&device("one"), &upload.name).unwrap());
    let stored = files.commit_blocks(&upload, &ids(&["2", "1"]), true).unwrap();
    assert_eq!((stored.bytes, partial_files(&folder), files.taken()), (11, 0, UNIT));
    assert_eq!(std::fs::read(folder.path().join("files/local/local/default/one/a%2Fb")).unwrap(), b"hello world");
    // A client that got no answer asks again.
    assert_eq!(files.commit_blocks(&upload, &ids(&["2", "1"]), true).unwrap(), stored);
    assert!(matches!(files.commit_blocks(&upload, &[], true), Err(Error::Exists)));
    assert_eq!(files.commit_blocks(&upload, &[], false).unwrap().bytes, 0);
}

#[test]
fn an_upload_belongs_to_one_device_and_a_device_has_a_limited_number() {
    let folder = tempfile::tempdir().unwrap();
    let files = open(&folder, 8, 8);
    let held: Vec<_> = (0..UPLOADS_PER_DEVICE).map(|n| begin(&files, "one", &n.to_string())).collect();
    let more = files.begin(&device("one"), DeviceNum(1), FileName::new("more").unwrap());
    assert!(matches!(more, Err(Error::Full { .. })));
    let _ = begin(&files, "other", "a");
    assert!(matches!(files.end(&held[0].id, DeviceNum(2)), Err(Error::NoUpload)));
    assert!(!files.end(&held[0].id, DeviceNum(1)).unwrap());
    assert!(files.find(&held[0].id).is_none() && files.find(&held[1].id).is_some());
    assert!(matches!(block(&files, &held[0], "a", b"x"), Err(Error::NoUpload)));
    assert_eq!(partial_files(&folder), 0, "a partial file of no upload is left");
}

#[test]
fn files_are_listed_page_by_page() {
    let folder = tempfile::tempdir().unwrap();
    let files = open(&folder, 8, 8);
    for (id, name) in [("b", "z"), ("b", "a/a"), ("a", "x"), ("b", "a")] {
        put(&files, &begin(&files, id, name), 1).unwrap();
    }
    std::fs::write(folder.path().join("files/local/local/default/b/not ours"), "x").unwrap();
    let list = |device: Option<&str>, after: Option<(&str, &str)>, most: usize| {
        let device = device.map(|id| DeviceId::new(id).unwrap());
        let found = files.list(&RegistryName::default_registry(), device.as_ref(), after, most).unwrap();
        found.iter().map(|file| format!("{}:{}", file.device, file.name)).collect::<Vec<_>>()
    };
    assert_eq!(list(None, None, 9), ["a:x", "b:a", "b:a/a", "b:z"]);
    assert_eq!(list(None, None, 2), ["a:x", "b:a"]);
    assert_eq!(list(None, Some(("b", "a")), 2), ["b:a/a", "b:z"]);
    assert_eq!(list(Some("a"), None, 9), ["a:x"]);
    assert!(list(Some("c"), None, 9).is_empty());
}
