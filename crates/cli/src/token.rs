//! `switchbox device token`: a token from a device's private key, which the device sends as its password.

use std::{path::PathBuf, time::Duration};

use anyhow::Context as _;
use zeroize::Zeroizing;

use super::exit::wrong;
use switchbox_auth::signing::SigningKey;
use switchbox_model::{RegistryName, limits};
use switchbox_support::clock;

/// Print a token that a private key signs; needs no host
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// The device's private key (PEM)
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// How long the token is valid, at most 24h
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = humantime::parse_duration)]
    ttl: Duration,
    /// The audience: the project in the device's full name
    #[arg(long, value_name = "PROJECT", default_value_t = RegistryName::default_registry().project().to_owned())]
    audience: String,
}

pub(super) fn run(options: &Options) -> anyhow::Result<String> {
    let ttl = options.ttl.as_secs();
    let longest = Duration::from_secs(limits::TOKEN_LIFE_SECS);
    if ttl == 0 || options.ttl > longest {
        return Err(wrong("--ttl must be from 1s to 24h"));
    }
    let path = options.key.display();
    let pem = std::fs::read(&options.key).map(Zeroizing::new).with_context(|| format!("{path} cannot be read"))?;
    let key = SigningKey::from_pem(&pem).with_context(|| format!("{path} cannot be used"))?;
    let now = clock::now_ms() / 1_000;
    Ok(key.token(&options.audience, now, now + ttl)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_validity_that_is_too_long_or_none_is_a_wrong_argument() {
        for ttl in [Duration::ZERO, Duration::from_millis(999), Duration::from_hours(25)] {
            let error = run(&Options { key: "absent.pem".into(), ttl, audience: "local".into() }).unwrap_err();
            assert_eq!(crate::exit::code(&error), Some(2), "{ttl:?}: {error}");
        }
    }
}
