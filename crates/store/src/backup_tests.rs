//! Where a backup may be made, and what is in it.

use std::{collections::BTreeSet, fs, path::Path};

use crate::{Error, backup, journal_damage_tests::folder};

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
