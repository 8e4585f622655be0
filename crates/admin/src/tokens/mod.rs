//! The bearer tokens: the host's own, made at first start, and those that operators make for programs, each with a name and a scope. A
//! token is 32 random bytes, which cannot be guessed from its SHA-256, so only the hash is kept.

mod file;
mod record;

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use parking_lot::RwLock;
use sha2::{Digest, Sha256};

pub(super) use self::record::TokenRecord;
use switchbox_admin_api::{Scope, TOKEN_FILE};
use switchbox_model::limits::{ADMIN_TOKEN_NAME_BYTES, TooMuch, fields};
use switchbox_support::clock;

/// The file of all tokens but the host's own: names, scopes, hashes.
const TOKENS_FILE: &str = "admin-tokens.json";
/// What the host's own token is called.
const OWN: &str = "admin-token";
/// Lets scanners for secrets recognise a token that was published by mistake.
const PREFIX: &str = "sbx_";

#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error(
        "a token's name has 1 to {ADMIN_TOKEN_NAME_BYTES} letters, digits and - _ . and begins with a letter or a digit"
    )]
    Name,
    #[error("a token {0:?} exists already")]
    Exists(String),
    #[error("a token {0:?} does not exist")]
    NoSuch(String),
    #[error("{OWN} is the host's own token: to change it, delete its file in the data folder and start the host again")]
    Own,
    #[error(transparent)]
    Full(TooMuch),
    #[error("the tokens cannot be written: {0}")]
    Io(#[from] io::Error),
}

/// All tokens of a host. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Tokens {
    known: Arc<RwLock<Vec<TokenRecord>>>,
    others: PathBuf,
}

impl Tokens {
    /// Reads the tokens of the data folder; creates the host's own if there is none.
    pub(super) fn load(data: &Path) -> io::Result<Self> {
        let own = file::own(&data.join(TOKEN_FILE))?;
        let others = data.join(TOKENS_FILE);
        let mut known = vec![TokenRecord { name: OWN.into(), scope: Scope::Admin, created_ms: 0, hash: hash(&own) }];
        known.extend(file::read(&others)?);
        Ok(Self { known: Arc::new(RwLock::new(known)), others })
    }

    /// The owner of a token. It compares the hashes of all tokens, so its time reveals nothing.
    pub(super) fn find(&self, presented: &str) -> Option<(String, Scope)> {
        let presented = hash(presented);
        let known = self.known.read();
        let mut found = None;
        for token in known.iter() {
            if same(&token.hash, &presented) {
                found = Some((token.name.clone(), token.scope));
            }
        }
        found
    }

    /// When the token of this name was created, milliseconds since the Unix epoch. Returns `None` if it no longer exists.
    pub(super) fn created_ms(&self, name: &str) -> Option<u64> {
        self.known.read().iter().find(|token| token.name == name).map(|token| token.created_ms)
    }

    /// In the order in which they were made; the host's own is not among them.
    pub(super) fn list(&self) -> Vec<TokenRecord> {
        self.known.read().iter().skip(1).cloned().collect()
    }

    /// Creates a token. The text that is returned is not stored. Blocks for as long as the disk takes.
    pub(super) fn create(&self, name: &str, scope: Scope) -> Result<String, Error> {
        check_name(name)?;
        let text = file::random().map(|random| format!("{PREFIX}{random}"))?;
        let made = TokenRecord { name: name.to_owned(), scope, created_ms: clock::now_ms(), hash: hash(&text) };
        self.change(|known| {
            if known.iter().any(|token| token.name == name) {
                return Err(Error::Exists(name.to_owned()));
            }
            // The host's own is not counted.
            fields::TOKENS.check_len("tokens", known.len()).map_err(Error::Full)?;
            known.push(made);
            Ok(())
        })?;
        Ok(text)
    }

    /// Revokes the token. Blocks for as long as the disk takes.
    pub(super) fn delete(&self, name: &str) -> Result<(), Error> {
        if name == OWN {
            return Err(Error::Own);
        }
        self.change(|known| {
            let index = known.iter().position(|token| token.name == name);
            known.remove(index.ok_or_else(|| Error::NoSuch(name.to_owned()))?);
            Ok(())
        })
    }

    /// Writes the file first, then changes memory.
    fn change(&self, change: impl FnOnce(&mut Vec<TokenRecord>) -> Result<(), Error>) -> Result<(), Error> {
        let mut known = self.known.write();
        let mut changed = known.clone();
        change(&mut changed)?;
        file::write(&self.others, changed.get(1..).unwrap_or_default())?;
        *known = changed;
        Ok(())
    }
}

pub(super) fn check_name(name: &str) -> Result<(), Error> {
    let fine = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    let first = name.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
    if first && name.len() <= ADMIN_TOKEN_NAME_BYTES && name.bytes().all(fine) { Ok(()) } else { Err(Error::Name) }
}

fn hash(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}

/// In a time that does not depend on where they differ.
fn same(a: &[u8; 32], b: &[u8; 32]) -> bool {
    std::hint::black_box(a.iter().zip(b).fold(0, |differs, (a, b)| differs | (a ^ b))) == 0
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_token_lets_in_until_it_is_deleted_also_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let tokens = Tokens::load(folder.path()).unwrap();
        let text = tokens.create("grafana", Scope::Read).unwrap();
        let again = Tokens::load(folder.path()).unwrap();
        for tokens in [&tokens, &again] {
            assert_eq!(tokens.find(&text), Some(("grafana".into(), Scope::Read)));
            let own = fs::read_to_string(folder.path().join(TOKEN_FILE)).unwrap();
            assert_eq!(tokens.find(own.trim()), Some((OWN.into(), Scope::Admin)));
            for wrong in ["", "x", &text[1..], &text.to_uppercase(), "sbx_"] {
                assert_eq!(tokens.find(wrong), None, "{wrong:?} was taken");
            }
        }
        again.delete("grafana").unwrap();
        assert_eq!((again.find(&text), Tokens::load(folder.path()).unwrap().find(&text)), (None, None));
    }

    #[test]
    fn only_a_hash_is_kept_and_only_for_its_owner_to_read() {
        let folder = tempfile::tempdir().unwrap();
        let tokens = Tokens::load(folder.path()).unwrap();
        let text = tokens.create("grafana", Scope::Operate).unwrap();
        let kept = fs::read_to_string(folder.path().join(TOKENS_FILE)).unwrap();
        assert!(kept.contains("grafana") && !kept.contains(&text[PREFIX.len()..]), "{kept}");
        #[cfg(unix)]
        for file in [TOKEN_FILE, TOKENS_FILE] {
            use std::os::unix::fs::PermissionsExt;
            let mode = fs::metadata(folder.path().join(file)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{file}");
        }
    }

    #[test]
    fn what_no_token_can_be_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let tokens = Tokens::load(folder.path()).unwrap();
        tokens.create("a", Scope::Read).unwrap();
        for (name, part) in [
            ("a", "exists already"),
            (OWN, "exists already"),
            ("", "letters, digits"),
            ("../a", "letters, digits"),
            (&"x".repeat(65), "letters, digits"),
        ] {
            let error = tokens.create(name, Scope::Read).unwrap_err().to_string();
            assert!(error.contains(part), "{name:?}: {error}");
        }
        assert!(tokens.delete("b").unwrap_err().to_string().contains("does not exist"));
        assert!(tokens.delete(OWN).unwrap_err().to_string().contains("delete its file"));
        let made: Vec<_> =
            (1..=switchbox_model::limits::ADMIN_TOKENS).map(|n| tokens.create(&format!("t{n}"), Scope::Read)).collect();
        assert!(matches!(made.last(), Some(Err(Error::Full(_)))));
    }

    #[test]
    fn a_file_of_tokens_that_cannot_be_read_stops_the_host() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(TOKENS_FILE), "[{\"name\": 1}]").unwrap();
        assert!(Tokens::load(folder.path()).unwrap_err().to_string().contains(TOKENS_FILE));
    }
}
