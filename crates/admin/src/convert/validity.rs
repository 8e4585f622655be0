//! Checks the validity of keys and certificates that a caller registers. One that is not valid yet is refused, because no device could
//! authenticate with it; an expired one is accepted, as in Google's API, and the answer contains a warning.

use switchbox_auth::keys::{self, Validity};
use switchbox_model::registry::Credential;
use switchbox_support::clock;

fn not_yet(at_ms: u64, now_ms: u64) -> String {
    let (from, now) = (clock::rfc3339(at_ms), clock::rfc3339(now_ms));
    format!("the certificate is valid only from {from} on (this host's clock says {now})")
}

/// Checks the credential. The error says why no device could authenticate with it.
pub(super) fn check_key(credential: &Credential, now_ms: u64) -> Result<(), String> {
    match keys::parse(credential).map_err(|error| error.to_string())?.time(now_ms) {
        Validity::NotYet(at) => Err(not_yet(at, now_ms)),
        Validity::Now | Validity::Expired(_) => Ok(()),
    }
}

/// Checks the certificate of an authority in the same way.
pub(super) fn check_authority(pem: &str, now_ms: u64) -> Result<(), String> {
    let authority = keys::authority(pem).map_err(|error| format!("a registry's certificate: {error}"))?;
    match authority.time(now_ms) {
        Validity::NotYet(at) => Err(not_yet(at, now_ms)),
        Validity::Now | Validity::Expired(_) => Ok(()),
    }
}

fn warning(number: usize, time: Validity) -> Option<String> {
    match time {
        Validity::Expired(at) => {
            let at = clock::rfc3339(at);
            Some(format!("credential {number} expired at {at}: no client can use it"))
        }
        Validity::Now | Validity::NotYet(_) => None,
    }
}

/// The warnings of the answer, numbered from 1 as in the command line.
pub(crate) fn key_warnings(credentials: &[Credential]) -> Vec<String> {
    let now_ms = clock::now_ms();
    let warn = |(number, credential)| warning(number, keys::parse(credential).ok()?.time(now_ms));
    (1..).zip(credentials).filter_map(warn).collect()
}

/// Warnings about a registry's authorities.
pub(crate) fn authority_warnings(pems: &[String]) -> Vec<String> {
    let now_ms = clock::now_ms();
    let warn = |(number, pem): (usize, &String)| warning(number, keys::authority(pem).ok()?.time(now_ms));
    (1..).zip(pems).filter_map(warn).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use switchbox_model::registry::KeyFormat;

    #[test]
    fn a_certificate_counts_in_its_time_only() {
        let credential = |from, to| {
            let mut params = rcgen::CertificateParams::default();
            (params.not_before, params.not_after) = (rcgen::date_time_ymd(from, 1, 1), rcgen::date_time_ymd(to, 1, 1));
            let key = params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap().pem();
            Credential { format: KeyFormat::Es256X509Pem, key, expires_ms: None }
        };
        let (unexpired, old, early) = (credential(2020, 3000), credential(2000, 2001), credential(2900, 3000));
        let spent = Credential { expires_ms: Some(1_000), ..unexpired.clone() };
        let now_ms = clock::now_ms();
        assert_eq!(
            [&unexpired, &old, &spent].map(|credential| check_key(credential, now_ms)),
            [Ok(()), Ok(()), Ok(())]
        );
        assert!(check_key(&early, now_ms).unwrap_err().starts_with("the certificate is valid only from 2900-01-01T00"));
        let warnings = key_warnings(&[unexpired, old, spent]);
        assert_eq!(
            warnings,
            [
                "credential 2 expired at 2001-01-01T00:00:00.000Z: no client can use it",
                "credential 3 expired at 1970-01-01T00:00:01.000Z: no client can use it",
            ]
        );
    }
}
