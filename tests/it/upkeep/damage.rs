//! A damaged data folder: refused, shown, repaired.

use super::*;

/// The newest file of the journal that has rows.
fn newest(host_folder: &HostFolder) -> PathBuf {
    let files = fs::read_dir(host_folder.data().join("log")).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|e| e == "log")).max().unwrap()
}

/// A data folder whose log has a flipped bit in the event "event 20 of forty". Returns the file and what is in it.
fn damaged(host_folder: &HostFolder) -> (PathBuf, Vec<u8>) {
    let host = host_folder.start();
    let mut device = host.device("source-1");
    (0..40).for_each(|number| device.event(format!("event {number} of forty")));
    host.kill();
    let file = newest(host_folder);
    let mut bytes = fs::read(&file).unwrap();
    let needle = b"event 20 of forty";
    let at = bytes.windows(needle.len()).position(|window| window == needle).unwrap();
    bytes[at] ^= 1;
    fs::write(&file, &bytes).unwrap();
    (file, bytes)
}

#[test]
fn damage_is_refused_shown_and_repaired_with_nothing_deleted() {
    let host_folder = HostFolder::new();
    let (whole, bytes) = damaged(&host_folder);

    let mut host = Process::spawn(&host_folder);
    assert_eq!(host.wait().code(), Some(3));
    let log = host.log();
    assert!(
        log.contains(text(&whole)) && log.contains("records are whole") && log.contains("switchbox repair"),
        "{log}"
    );
    assert!(fs::read(&whole).unwrap() == bytes, "it was changed");
    let (code, output, log) = cli(&host_folder, &["check", "--data", text(&host_folder.data())]);
    assert!(code == 3 && output.contains("DAMAGED") && output.contains("after the damage"), "{output}{log}");
    assert!(fs::read(&whole).unwrap() == bytes, "it was changed");

    let (code, output, log) = cli(&host_folder, &["repair", "--data", text(&host_folder.data())]);
    assert!(code == 0 && output.contains("what was cut is in"), "{output}{log}");
    let aside: Vec<_> =
        fs::read_dir(host_folder.data().join("damaged")).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(fs::read(aside[0].join(whole.file_name().unwrap())).unwrap() == bytes, "the damaged file is kept");
    let (code, output, _) = cli(&host_folder, &["check", "--data", text(&host_folder.data())]);
    assert!(code == 0 && output.contains("all is well"), "{output}");
    let host = host_folder.start();
    host.device("source-1").event("after the repair");
    host.stop();
    let found = payloads(&host_folder);
    assert!(found.contains("event 19 of forty") && found.contains("after the repair"), "{found:?}");
    assert!(!found.contains("event 20 of forty"));
}

#[test]
fn serve_repairs_a_damaged_folder_where_it_is_asked_to_and_says_what_it_cut() {
    let host_folder = HostFolder::new();
    let (file, bytes) = damaged(&host_folder);
    let mut host = Process::spawn(&host_folder);
    assert_eq!(host.wait().code(), Some(3));
    assert!(host.log().contains("switchbox serve --repair"), "{}", host.log());

    let host = host_folder.start_with(&["--repair"]);
    host.logged(&["WARN", "repaired: rows ", "damaged"]);
    let line = host.logged(&["WARN", "the data folder was repaired", "nothing was deleted"]);
    let folders = fs::read_dir(host_folder.data().join("damaged")).unwrap();
    let aside: Vec<_> = folders.map(|entry| entry.unwrap().path()).collect();
    assert!(line.contains(text(&aside[0])), "{line}");
    assert!(fs::read(aside[0].join(file.file_name().unwrap())).unwrap() == bytes, "the damaged file is kept");
    host.device("source-1").event("after the repair");
    host.stop();
    // If nothing is damaged, or there is no folder yet, it starts as without the flag.
    for host_folder in [host_folder, HostFolder::new()] {
        let host = host_folder.start_with(&["--repair"]);
        assert!(!host.log().contains("the data folder was repaired"), "{}", host.log());
        host.stop();
    }
    assert_eq!(aside.len(), 1);
}
