//! Passwords: argon2id, checked on threads of their own, a bounded number at a time. Never keeps one, never shows one.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use argon2::{Argon2, PasswordHasher, PasswordVerifier};
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use switchbox_model::{limits, registry::PasswordHash};

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("a password must have 1 to {} bytes", limits::PASSWORD_BYTES)]
    Length,
    #[error("the system has no random numbers: {0}")]
    Random(String),
    #[error("the password cannot be hashed")]
    Hash,
    /// Others wait already.
    #[error("too many passwords wait to be checked")]
    Busy,
}

/// What is to be kept of a password. Takes some tens of milliseconds.
pub fn hash(password: &[u8]) -> Result<PasswordHash, Error> {
    if password.is_empty() || password.len() > limits::PASSWORD_BYTES {
        return Err(Error::Length);
    }
    let mut salt = [0; 16];
    getrandom::fill(&mut salt).map_err(|e| Error::Random(e.to_string()))?;
    // The crate's default costs are those that OWASP recommends: 19 MiB, two passes.
    let hash = Argon2::default().hash_password_with_salt(password, &salt).map_err(|_| Error::Hash)?;
    Ok(PasswordHash(hash.to_string().into()))
}

fn matches(password: &[u8], hash: &PasswordHash) -> bool {
    let verified: Result<(), _> = Argon2::default().verify_password(password, &*hash.0);
    verified.is_ok()
}

/// The name that the client claims.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PasswordCaller {
    /// Got in from the same address before.
    Known,
    Unknown,
}

/// Checks passwords. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Checker {
    permits: Arc<Semaphore>,
    /// Of unknown callers no more wait at the permits than there are permits, so that all other unknown callers wait after known ones.
    unauthenticated: Arc<Semaphore>,
    /// How many wait, of known and of unknown callers.
    waiting: Arc<[AtomicUsize; 2]>,
    /// Checked where there is no password, so that the answer takes as long.
    decoy: Option<PasswordHash>,
}

/// Counts one that waits.
struct WaitingCount<'a>(&'a AtomicUsize);

impl Drop for WaitingCount<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Checker {
    pub(super) fn new() -> Self {
        let mut secret = [0; 32];
        let decoy = getrandom::fill(&mut secret).ok().and_then(|()| hash(&secret).ok());
        let permits = || Arc::new(Semaphore::new(limits::PASSWORD_CHECKS));
        Self { permits: permits(), unauthenticated: permits(), waiting: Arc::default(), decoy }
    }

    /// Checks the password. With `None` there is none to match, which takes as long to find out.
    pub(super) async fn check(
        &self,
        password: &[u8],
        hash: Option<PasswordHash>,
        caller: PasswordCaller,
    ) -> Result<bool, Error> {
        let exists = hash.is_some();
        if password.len() > limits::PASSWORD_BYTES {
            return Ok(false);
        }
        let Some(hash) = hash.or_else(|| self.decoy.clone()) else { return Ok(false) };
        let [known, unauthenticated] = &*self.waiting;
        let count = if caller == PasswordCaller::Known { known } else { unauthenticated };
        let waiting = WaitingCount(count);
        if count.fetch_add(1, Ordering::Relaxed) >= limits::PASSWORD_CHECKS_WAITING {
            return Err(Error::Busy);
        }
        let in_line = match caller {
            PasswordCaller::Known => None,
            PasswordCaller::Unknown => {
                Some(self.unauthenticated.clone().acquire_owned().await.map_err(|_| Error::Busy)?)
            }
        };
        let permit = self.permits.clone().acquire_owned().await.map_err(|_| Error::Busy)?;
        let password = Zeroizing::new(password.to_vec());
        let checked = tokio::task::spawn_blocking(move || {
            let _one_of_few = (permit, in_line);
            matches(&password, &hash)
        });
        drop(waiting);
        Ok(checked.await.unwrap_or(false) && exists)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_password_is_kept_as_a_salted_hash_only() {
        let (one, other) = (hash(b"open sesame").unwrap(), hash(b"open sesame").unwrap());
        assert_ne!(one, other);
        assert!(one.0.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{}", one.0);
        assert_eq!(format!("{one:?}"), "PasswordHash");
        let checker = Checker::new();
        for (password, hash, expect) in [
            (&b"open sesame"[..], Some(one.clone()), true),
            (b"open sesame ", Some(one.clone()), false),
            (b"", Some(one.clone()), false),
            (one.0.as_bytes(), Some(one.clone()), false),
            (b"open sesame", None, false),
            (&[b'x'; limits::PASSWORD_BYTES + 1], Some(one.clone()), false),
            (b"open sesame", Some(PasswordHash("broken".into())), false),
        ] {
            assert_eq!(checker.check(password, hash, PasswordCaller::Unknown).await, Ok(expect));
        }
        assert_eq!(hash(b"").unwrap_err(), Error::Length);
        assert!(checker.waiting.iter().all(|count| count.load(Ordering::Relaxed) == 0));
    }

    #[tokio::test]
    async fn no_more_than_so_many_wait_for_their_check_and_known_callers_are_checked_before_unknown_ones() {
        let checker = Checker::new();
        let all = checker.permits.clone().acquire_many_owned(limits::PASSWORD_CHECKS as u32).await.unwrap();
        let mut waiting = tokio::task::JoinSet::new();
        for _ in 0..=limits::PASSWORD_CHECKS_WAITING {
            let checker = checker.clone();
            waiting.spawn(async move {
                checker.check(b"x", None, PasswordCaller::Unknown).await.map(|_| PasswordCaller::Unknown)
            });
        }
        assert_eq!(waiting.join_next().await.unwrap().unwrap(), Err(Error::Busy));
        let known = checker.clone();
        waiting
            .spawn(async move { known.check(b"x", None, PasswordCaller::Known).await.map(|_| PasswordCaller::Known) });
        while checker.waiting[0].load(Ordering::Relaxed) == 0 {
            tokio::task::yield_now().await;
        }
        drop(all);
        let mut order = Vec::new();
        while let Some(done) = waiting.join_next().await {
            order.push(done.unwrap().unwrap());
        }
        let index = order.iter().position(|caller| *caller == PasswordCaller::Known).unwrap();
        assert!(index <= 2 * limits::PASSWORD_CHECKS, "{index} were checked before it");
        assert_eq!(order.len(), limits::PASSWORD_CHECKS_WAITING + 1);
    }
}
