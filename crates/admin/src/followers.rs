//! Limits the followers of events: in total, and to half of that per token, so that one program does not exclude others.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;

use switchbox_model::limits::{FOLLOWERS, FOLLOWERS_PER_TOKEN, LimitName, names};

/// Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct Followers(Arc<Mutex<HashMap<String, usize>>>);

/// Released when it is dropped.
#[derive(Debug)]
pub(super) struct FollowerPermit {
    followers: Followers,
    token: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum TooManyFollowers {
    #[error("the limit \"{}\" is reached: {FOLLOWERS} follow the events already", names::FOLLOWERS)]
    All,
    #[error(
        "the limit \"{}\" is reached: {FOLLOWERS_PER_TOKEN} follow the events with this token already",
        names::FOLLOWERS_PER_TOKEN
    )]
    Token,
}

impl TooManyFollowers {
    /// Its name in the metrics.
    pub(super) fn limit(self) -> LimitName {
        match self {
            Self::All => names::FOLLOWERS,
            Self::Token => names::FOLLOWERS_PER_TOKEN,
        }
    }
}

impl Followers {
    /// `token`: its name.
    pub(super) fn acquire_permit(&self, token: &str) -> Result<FollowerPermit, TooManyFollowers> {
        let mut counts = self.0.lock();
        if counts.values().sum::<usize>() >= FOLLOWERS {
            return Err(TooManyFollowers::All);
        }
        let of_token = counts.entry(token.to_owned()).or_default();
        if *of_token >= FOLLOWERS_PER_TOKEN {
            return Err(TooManyFollowers::Token);
        }
        *of_token += 1;
        Ok(FollowerPermit { followers: self.clone(), token: token.to_owned() })
    }
}

impl Drop for FollowerPermit {
    fn drop(&mut self) {
        let mut counts = self.followers.0.lock();
        if let Some(of_token) = counts.get_mut(&self.token) {
            *of_token -= 1;
            if *of_token == 0 {
                counts.remove(&self.token);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_token_has_half_of_the_places_and_gives_them_back() {
        let followers = Followers::default();
        let enter = |token: &str| std::iter::from_fn(|| followers.acquire_permit(token).ok()).collect::<Vec<_>>();
        let first = enter("first");
        assert_eq!(first.len(), FOLLOWERS_PER_TOKEN);
        assert_eq!(followers.acquire_permit("first").unwrap_err(), TooManyFollowers::Token);
        let second = enter("second");
        assert_eq!(first.len() + second.len(), FOLLOWERS);
        assert_eq!(followers.acquire_permit("third").unwrap_err(), TooManyFollowers::All);
        drop(first);
        assert_eq!(enter("third").len(), FOLLOWERS_PER_TOKEN);
        drop(second);
        assert!(followers.0.lock().is_empty());
    }
}
