//! A table of client certificates: which devices they authenticate, until when, and why the others are refused.

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, date_time_ymd,
};
use rustls::pki_types::CertificateDer;

use crate::{
    auth_context::Proof,
    certificates::{CertificateError, digest, prove},
};
use switchbox_model::{
    DeviceId,
    registry::{Credential, DeviceSpec, KeyFormat},
};

const YEAR_MS: u64 = 365 * 86_400_000;
/// The start of 2026; certificates here run out a year later.
const NOW_MS: u64 = 1_767_225_600_000;

fn params(common_name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, common_name);
    (params.not_before, params.not_after) = (date_time_ymd(2025, 1, 1), date_time_ymd(2027, 1, 1));
    params
}

struct Authority {
    certificate: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let (mut params, key) = (params("authority"), KeyPair::generate().unwrap());
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap().der().clone();
        Self { certificate, issuer: Issuer::new(params, key) }
    }

    /// A certificate for this name: the one that is shown, and as it is registered.
    fn signs(&self, common_name: &str) -> (CertificateDer<'static>, Credential) {
        let mut params = params(common_name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let signed = params.signed_by(&KeyPair::generate().unwrap(), &self.issuer).unwrap();
        let credential = Credential { format: KeyFormat::Es256X509Pem, key: signed.pem(), expires_ms: None };
        (signed.der().clone(), credential)
    }
}

#[test]
fn a_certificate_admits_the_device_it_is_registered_for_or_an_authority_names_until_it_expires() {
    let (accepted, unrelated) = (Authority::new(), Authority::new());
    let (own, registered) = accepted.signs("lamp-1");
    let (others, _) = accepted.signs("lamp-2");
    let (foreign, foreign_registered) = unrelated.signs("anything");
    let key = digest(&foreign).iter().map(|b| format!("{b:02X}")).collect();
    let fingerprint = Credential { format: KeyFormat::X509Fingerprint, key, expires_ms: None };
    let brief = Credential { expires_ms: Some(NOW_MS + 5), ..registered.clone() };
    let by_authority = |until| Ok((Proof::Authority(digest(&accepted.certificate)), until));
    let by_itself = |credential: &Credential, until| Ok((Proof::of(credential), until));
    let end = NOW_MS + YEAR_MS;
    for (what, shown, credentials, now_ms, expect) in [
        ("by the authority", &own, vec![], NOW_MS, by_authority(end)),
        ("another name", &others, vec![], NOW_MS, Err("common name is \"lamp-2\"")),
        ("another authority", &foreign, vec![], NOW_MS, Err("no registered authority issued it")),
        ("by the authority, too late", &own, vec![], end + 1_000, Err("CertExpired")),
        ("registered", &foreign, vec![&foreign_registered], NOW_MS, by_itself(&foreign_registered, end)),
        ("registered, too late", &foreign, vec![&foreign_registered], end, Err("expired")),
        ("registered for a while", &own, vec![&brief], NOW_MS, by_itself(&brief, NOW_MS + 5)),
        ("no longer registered", &own, vec![&brief], NOW_MS + 5, Err("expired")),
        ("its fingerprint is registered", &foreign, vec![&fingerprint], NOW_MS, by_itself(&fingerprint, end)),
        ("its fingerprint is registered, too late", &foreign, vec![&fingerprint], end, Err("expired")),
        ("another fingerprint", &others, vec![&fingerprint], NOW_MS, Err("common name is \"lamp-2\"")),
    ] {
        let spec = DeviceSpec { credentials: credentials.into_iter().cloned().collect(), ..DeviceSpec::default() };
        let device = DeviceId::new("lamp-1").unwrap();
        let proved =
            prove(std::slice::from_ref(shown), &device, &spec, std::slice::from_ref(&accepted.certificate), now_ms);
        match expect {
            Ok(expect) => assert_eq!(proved.as_ref(), Ok(&expect), "{what}"),
            Err(part) => assert!(proved.as_ref().unwrap_err().to_string().contains(part), "{what}: {proved:?}"),
        }
    }
    let none = prove(&[], &DeviceId::new("lamp-1").unwrap(), &DeviceSpec::default(), &[], NOW_MS);
    assert_eq!(none, Err(CertificateError::Unknown("there is none".into())));
}
