//! What a host is called in its certificate: DNS names, also with a wildcard, and addresses. Pure.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use rustls::pki_types::CertificateDer;
use x509_cert::{
    Certificate,
    der::Decode as _,
    ext::pkix::{SubjectAltName, name::GeneralName},
};

/// Names before addresses, because a client can be told a name for longer; else in the order of the certificate. Empty if it has none, or
/// cannot be read.
pub(super) fn of(certificate: &CertificateDer<'_>) -> Vec<String> {
    let Ok(certificate) = Certificate::from_der(certificate) else { return Vec::new() };
    let Ok(Some((_, names))) = certificate.tbs_certificate().get_extension::<SubjectAltName>() else {
        return Vec::new();
    };
    let text = |name: &GeneralName| match name {
        GeneralName::DnsName(name) => Some(name.as_str().to_owned()),
        GeneralName::IpAddress(octets) => address(octets.as_bytes()).map(|address| address.to_string()),
        _ => None,
    };
    let mut found: Vec<_> = names.0.iter().filter_map(text).collect();
    found.sort_by_key(|name| name.parse::<IpAddr>().is_ok());
    found
}

fn address(octets: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(octets).map(|octets| Ipv4Addr::from(octets).into());
    v4.or_else(|_| <[u8; 16]>::try_from(octets).map(|octets| Ipv6Addr::from(octets).into())).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_before_addresses_and_both_in_the_order_of_the_certificate() {
        for (names, expect) in [
            (
                &["*.plant.test", "127.0.0.1", "plant.test", "2001:db8::1"][..],
                &["*.plant.test", "plant.test", "127.0.0.1", "2001:db8::1"][..],
            ),
            (&["127.0.0.1"], &["127.0.0.1"]),
            (&["plant.test"], &["plant.test"]),
            (&[], &[]),
        ] {
            let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
            let made = rcgen::generate_simple_self_signed(names).unwrap();
            assert_eq!(of(made.cert.der()), expect);
        }
        assert!(of(&CertificateDer::from(vec![1, 2, 3])).is_empty());
    }
}
