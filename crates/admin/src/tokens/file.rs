//! The files of the tokens: written whole, for the host's user only to read.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind, Write},
    path::Path,
};

use super::record::TokenRecord;

/// Shortest text that is taken from the file of the host's own token.
const SHORTEST: usize = 16;

/// Reads the host's own token, or makes it.
pub(super) fn own(path: &Path) -> io::Result<String> {
    match fs::read_to_string(path) {
        Ok(text) if text.trim().len() >= SHORTEST => Ok(text.trim().to_owned()),
        Ok(_) => Err(io::Error::other(format!(
            "{}: a token has at least {SHORTEST} characters; delete the file and a new one is made",
            path.display()
        ))),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let text = random()?;
            write_whole(path, format!("{text}\n").as_bytes())?;
            Ok(text)
        }
        Err(error) => Err(error),
    }
}

/// 32 bytes as hex.
pub(super) fn random() -> io::Result<String> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|e| io::Error::other(e.to_string()))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

pub(super) fn read(path: &Path) -> io::Result<Vec<TokenRecord>> {
    match fs::read(path) {
        Ok(text) => serde_json::from_slice(&text).map_err(|e| io::Error::other(format!("{}: {e}", path.display()))),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

pub(super) fn write(path: &Path, tokens: &[TokenRecord]) -> io::Result<()> {
    write_whole(path, &serde_json::to_vec_pretty(tokens)?)
}

/// Either the old file or the new one exists at any moment.
fn write_whole(path: &Path, text: &[u8]) -> io::Result<()> {
    let beside = path.with_extension("new");
    let mut file = private(&beside)?;
    file.write_all(text)?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

fn private(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hosts_own_token_is_made_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin-token");
        let made = own(&path).unwrap();
        assert_eq!((made.len(), own(&path).unwrap()), (64, made));
    }

    #[test]
    fn an_empty_token_file_admits_no_caller() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin-token");
        fs::write(&path, "\n").unwrap();
        assert!(own(&path).unwrap_err().to_string().contains("delete the file"));
    }
}
