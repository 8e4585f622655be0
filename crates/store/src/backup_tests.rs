//! Where a backup may be made, and what is in it.

use std::{collections::BTreeSet, fs, path::Path};

use crate::{Error, Options, backup, decide::decide, journal_damage_tests::folder, open, restore};

/// The files of a new backup.
fn made(data: &Path, plugins: Option<&Path>, to: &Path) -> BTreeSet<String> {
    backup(data, plugins, to).unwrap().files.into_keys().collect()
}

fn write(path: &Path) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, "{}").unwrap();
}

#[test]
fn backups_in_the_data_folder_contain_no_backup_at_any_depth() {
    let (data, _) = folder();
    let elsewhere = tempfile::tempdir().unwrap();
    // A device may upload a file of this name.
    write(&data.path().join("files/local/backup.json"));
    write(&data.path().join("backups/readme"));
    write(&data.path().join("backups/old.partial/log/00.log"));
    std::os::unix::fs::symlink(data.path(), elsewhere.path().join("link")).unwrap();
    let first = made(data.path(), None, &data.path().join("b10"));
    assert!(first.contains("files/local/backup.json") && first.contains("backups/readme"), "{first:?}");
    assert!(!first.iter().any(|name| name.contains("partial")), "{first:?}");
    for to in [data.path().join("backups/x"), data.path().join("deep/er/x"), elsewhere.path().join("link/backups/y")] {
        assert_eq!(made(data.path(), None, &to), first, "{}", to.display());
    }
    assert_eq!(made(&elsewhere.path().join("link"), None, &elsewhere.path().join("z")), first);
}

#[test]
fn no_backup_is_made_in_a_folder_of_the_host() {
    let (data, _) = folder();
    let plugins = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(plugins.path(), data.path().join("plugins")).unwrap();
    for to in [data.path().join("log/x"), data.path().join("files/a/x"), plugins.path().join("x")] {
        for named in [None, Some(plugins.path())] {
            let error = backup(data.path(), named, &to).unwrap_err();
            assert!(matches!(error, Error::Open { .. }) && error.to_string().contains("folder of the host"), "{error}");
            assert!(!to.with_file_name("x.partial").exists());
        }
    }
    assert!(!data.path().join("files").exists());
}

#[test]
fn a_backup_has_the_plugins_of_the_folder_that_is_named() {
    let (data, _) = folder();
    let (elsewhere, backups) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let in_data = data.path().join("rules");
    for path in [data.path().join("plugins/stale.toml"), elsewhere.path().join("live.toml"), in_data.join("rule.toml")]
    {
        write(&path);
    }
    for (number, (plugins, expected)) in [
        (None, vec!["plugins/stale.toml", "rules/rule.toml"]),
        (Some(data.path().join("plugins")), vec!["plugins/stale.toml", "rules/rule.toml"]),
        (Some(elsewhere.path().to_owned()), vec!["plugins/live.toml", "rules/rule.toml"]),
        (Some(in_data), vec!["rules/rule.toml"]),
    ]
    .into_iter()
    .enumerate()
    {
        let files = made(data.path(), plugins.as_deref(), &backups.path().join(number.to_string()));
        let found: Vec<_> = files.iter().filter(|name| name.ends_with(".toml")).collect();
        assert_eq!(found, expected, "{plugins:?}");
    }
    let error = backup(data.path(), Some(&elsewhere.path().join("none")), &backups.path().join("x")).unwrap_err();
    assert!(error.to_string().contains("no such folder"), "{error}");
    assert!(!backups.path().join("x.partial").exists());
}

#[test]
fn a_backup_is_restored_to_a_link_and_to_a_folder_that_cannot_be_replaced() {
    let (data, _) = folder();
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    let from = root.join("backup");
    backup(data.path(), None, &from).unwrap();
    let rows = decide(data.path()).unwrap().inspection.end().row;
    for name in ["empty", "behind", "volume/data"] {
        fs::create_dir_all(root.join(name)).unwrap();
    }
    std::os::unix::fs::symlink(root.join("behind"), root.join("link")).unwrap();
    std::os::unix::fs::symlink(root.join("missing"), root.join("dangling")).unwrap();
    // As in the root of a disk of its own, whose folder cannot be removed either.
    fs::create_dir(root.join("volume/data/lost+found")).unwrap();
    for name in ["new", "empty", "link", "volume/data"] {
        restore(&from, &root.join(name)).unwrap();
        assert_eq!(decide(&root.join(name)).unwrap().inspection.end().row, rows, "{name}");
        let error = restore(&from, &root.join(name)).unwrap_err();
        assert!(error.to_string().contains("it is not empty"), "{error}");
    }
    assert!(root.join("link").is_symlink() && root.join("behind/state.db").exists());
    assert!(!root.join("volume/data/.restoring").exists());
    let error = restore(&from, &root.join("dangling")).unwrap_err();
    assert!(error.to_string().contains("a link to one that is missing"), "{error}");
    let left: Vec<_> = fs::read_dir(root).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().ends_with(".restoring")), "{left:?}");
}

#[test]
fn no_host_starts_where_a_restore_was_interrupted() {
    let data = tempfile::tempdir().unwrap();
    fs::create_dir(data.path().join(".restoring")).unwrap();
    let error = open(Options::new(data.path())).map(|_| ()).unwrap_err();
    assert!(error.to_string().contains("restore again"), "{error}");
    let backup = backup(data.path(), None, &data.path().with_extension("backup")).map(drop);
    for refused in [backup, crate::check(data.path()).map(drop), crate::repair(data.path(), false).map(drop)] {
        assert!(refused.unwrap_err().to_string().contains("restore again"));
    }
    assert_eq!(fs::read_dir(data.path()).unwrap().count(), 1, "it was changed");
}
