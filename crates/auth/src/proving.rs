//! Checks the credentials of a client against the registered ones: a token against the keys, otherwise a password against its hash.

use std::{net::IpAddr, time::Instant};

use super::{
    auth_context::{AccessExpiry, Proof},
    credentials::Credentials,
    jwt,
    keys::{Algorithm, Validity, parse},
    password::Checker,
    refusal::{AuthRefusal, refused},
    symmetric::{self, Signed, Signer},
    throttle::{Attempt, Throttle, Throttled},
};
use switchbox_model::{
    limits,
    registry::{Credential, PasswordHash},
    symmetric::SymmetricKeys,
};
use switchbox_support::{clock, metrics::Metrics};

/// The identity that a client claims. One that does not exist has neither keys nor a password, and costs the same work.
pub(super) struct Claimed<'a> {
    /// For the log, and what failed attempts are counted for.
    pub(super) name: &'a str,
    /// What a token must be for.
    pub(super) audience: &'a str,
    pub(super) keys: &'a [Credential],
    pub(super) password: Option<PasswordHash>,
}

/// Checks passwords, some at a time and not too many wrong ones, and tokens. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Prover {
    checker: Checker,
    throttle: Throttle,
    metrics: Metrics,
}

impl Prover {
    pub(super) fn new(metrics: Metrics) -> Self {
        Self { checker: Checker::new(), throttle: Throttle::default(), metrics }
    }

    /// What the client proves itself with, and until when that counts.
    pub(super) async fn prove(
        &self,
        claimed: Claimed<'_>,
        credentials: Credentials<'_>,
    ) -> Result<(Proof, AccessExpiry), AuthRefusal> {
        let Some(secret) = credentials.password else {
            return Err(refused(format!("{} sent no password; it needs a token or its password there", claimed.name)));
        };
        if jwt::is_token(secret) {
            return by_token(claimed.name, claimed.audience, claimed.keys, secret);
        }
        let attempt = self.begin(credentials.address, claimed.name)?;
        match self.checker.check(secret, claimed.password.clone(), attempt.password_caller()).await {
            Ok(true) => {
                attempt.succeeded(Instant::now());
                Ok((Proof::Password(claimed.password), AccessExpiry::default()))
            }
            Ok(false) => {
                attempt.failed(Instant::now());
                Err(refused(format!("the password is not that of {}", claimed.name)))
            }
            Err(error) => {
                self.metrics.limit(limits::names::PASSWORD_CHECKS);
                Err(AuthRefusal::Unavailable(error.to_string()))
            }
        }
    }
}

impl Prover {
    /// Checks that one of these two keys signed the token, and returns until when it is valid. With `None` there are no keys, which
    /// takes as long to check.
    pub(super) fn prove_signed(
        &self,
        name: &str,
        keys: Option<&SymmetricKeys>,
        signed: &Signed,
        address: IpAddr,
    ) -> Result<(Proof, AccessExpiry), AuthRefusal> {
        let attempt = self.begin(address, name)?;
        let decoy = symmetric::decoy();
        let made_by = symmetric::signer(keys.unwrap_or(&decoy), signed);
        let Some(key) = made_by.filter(|_| keys.is_some()) else {
            attempt.failed(Instant::now());
            return Err(refused(match keys {
                Some(_) => format!("{name}: the signature was not made by either of its two keys"),
                None => format!("{name}: there is no symmetric key that could have signed"),
            }));
        };
        let now_ms = clock::now_ms();
        if signed.expires_ms <= now_ms {
            let ago_secs = (now_ms - signed.expires_ms) / 1_000;
            return Err(refused(format!("{name}: the token expired {ago_secs} s ago; is the device's clock right?")));
        }
        attempt.succeeded(Instant::now());
        let proof = match &signed.signer {
            Signer::Device => Proof::OwnKey(Proof::digest(key)),
            Signer::Registry(name) => Proof::AccessKey(name.clone(), Proof::digest(key)),
        };
        Ok((proof, AccessExpiry(Some(signed.expires_ms))))
    }

    /// Whether the client may try to prove something now, before that costs work. The attempt does not count yet.
    pub(super) fn may_try(&self, address: IpAddr, name: &str) -> Result<(), AuthRefusal> {
        self.begin(address, name).map(drop)
    }

    fn begin(&self, address: IpAddr, name: &str) -> Result<Attempt<'_>, AuthRefusal> {
        self.throttle.begin(address, name, Instant::now()).map_err(|throttled| {
            self.metrics.limit(throttled.limit());
            match throttled {
                Throttled::Busy => AuthRefusal::Unavailable(throttled.to_string()),
                _ => refused(throttled),
            }
        })
    }
}

/// The key that signed the token, and until when that counts.
pub(super) fn by_token(
    name: &str,
    audience: &str,
    keys: &[Credential],
    token: &[u8],
) -> Result<(Proof, AccessExpiry), AuthRefusal> {
    let now_ms = clock::now_ms();
    let token = std::str::from_utf8(token).map_err(|_| refused(format!("{name}: {}", jwt::JwtError::NoText)))?;
    let (mut usable, mut unusable) = (Vec::new(), Vec::new());
    for credential in keys {
        let Ok(parsed) = parse(credential) else { continue };
        let (time, expires_ms) = (parsed.time(now_ms), parsed.expires_ms);
        let Some(key) = parsed.key else { continue };
        match time {
            Validity::Now => usable.push((credential, key, expires_ms)),
            other => unusable.push((key.algorithm, other)),
        }
    }
    let verified = jwt::verify(token, usable.iter().map(|(_, key, _)| key), audience, now_ms);
    let verified = verified.map_err(|error| refused(format!("{name}: {error}{}", why_no_key(&error, &unusable))))?;
    let Some((credential, _, expires_ms)) = usable.get(verified.key) else {
        return Err(refused(jwt::JwtError::Signature));
    };
    let expires_at_ms = expires_ms.map_or(verified.expires_at_ms, |expires| expires.min(verified.expires_at_ms));
    Ok((Proof::of(credential), AccessExpiry(Some(expires_at_ms))))
}

/// Names the keys that would fit except for their time.
fn why_no_key(error: &jwt::JwtError, unusable: &[(Algorithm, Validity)]) -> String {
    let jwt::JwtError::NoKey(required) = error else { return String::new() };
    let fitting = unusable.iter().filter(|(algorithm, _)| algorithm.name() == *required);
    fitting.fold(String::new(), |mut text, (_, time)| {
        match time {
            Validity::Expired(at) => text.push_str(&format!("; one expired at {}", clock::rfc3339(*at))),
            Validity::NotYet(at) => text.push_str(&format!("; one counts only from {} on", clock::rfc3339(*at))),
            Validity::Now => {}
        }
        text
    })
}
