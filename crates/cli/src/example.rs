//! An example of a client command: the part that gives the host's address, from the host's listeners.

use std::net::{IpAddr, SocketAddr};

use switchbox_admin_api::Listeners;

/// The folder of the system's authorities.
const PUBLIC_AUTHORITIES: &str = "/etc/ssl/certs";

/// Host, port and authority as options of mosquitto's clients. `admin` is the address of the admin API that was used.
pub(super) fn destination(listeners: &Listeners, admin: &str) -> String {
    if let Some(at) = listeners.mqtts.as_ref().and_then(|at| at.parse::<SocketAddr>().ok()) {
        let trusted = match &listeners.tls_authority {
            Some(file) => format!("--cafile '{}'", file.display()),
            None => format!("--capath {PUBLIC_AUTHORITIES}"),
        };
        let names = listeners.tls_names.iter().map(String::as_str);
        let names: Vec<_> = names.filter(|name| !name.starts_with('*')).collect();
        let host = called(at, &names, admin);
        return format!("-h {host} -p {} {trusted}", at.port());
    }
    let at = listeners.mqtt.parse().unwrap_or(([127, 0, 0, 1], 1883).into());
    format!("-h {} -p {}", reached(at, admin), at.port())
}

/// The certificate must have the name that a device uses, and that name must lead to the listener.
fn called(at: SocketAddr, names: &[&str], admin: &str) -> String {
    let reached = reached(at, admin);
    let leads_there = |name: &&&str| match (at.ip(), name.parse::<IpAddr>()) {
        (ip, Ok(named)) => ip.is_unspecified() || ip == named,
        (ip, Err(_)) => ip.is_loopback() == (**name == "localhost"),
    };
    let fits = names.iter().find(|name| **name == reached).or_else(|| names.iter().find(leads_there));
    fits.map_or(reached, |name| (*name).to_owned())
}

/// A host that listens on all addresses is reached at the address of its admin API.
fn reached(at: SocketAddr, admin: &str) -> String {
    if !at.ip().is_unspecified() {
        return at.ip().to_string();
    }
    let authority = admin.split_once("://").map_or(admin, |(_, rest)| rest).split('/').next().unwrap_or_default();
    authority.rsplit_once(':').map_or(authority, |(host, _)| host).trim_matches(['[', ']']).to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_line_to_paste_fits_the_listeners() {
        let here = "http://127.0.0.1:8080";
        for (listeners, admin, expected) in [
            (json!({"mqtt": "127.0.0.1:1883"}), here, "-h 127.0.0.1 -p 1883"),
            (json!({"mqtt": "0.0.0.0:1884"}), "https://hub.example:8443/x", "-h hub.example -p 1884"),
            (json!({"mqtt": "[::]:1884"}), "http://[2001:db8::1]:8080", "-h 2001:db8::1 -p 1884"),
            (
                json!({"mqtt": "127.0.0.1:1883", "mqtts": "0.0.0.0:8883", "tlsNames": ["hub.example", "localhost"],
                       "tlsAuthority": "/certs/ca.pem"}),
                here,
                "-h hub.example -p 8883 --cafile '/certs/ca.pem'",
            ),
            (
                json!({"mqtts": "127.0.0.1:8884", "tlsNames": ["hub.example", "localhost"]}),
                here,
                "-h localhost -p 8884 --capath /etc/ssl/certs",
            ),
            (
                json!({"mqtts": "192.0.2.7:8883", "tlsNames": ["localhost", "127.0.0.1", "hub.example", "192.0.2.7"]}),
                here,
                "-h 192.0.2.7 -p 8883 --capath /etc/ssl/certs",
            ),
            (
                json!({"mqtts": "192.0.2.7:8883", "tlsNames": ["localhost", "127.0.0.1", "hub.example"]}),
                here,
                "-h hub.example -p 8883 --capath /etc/ssl/certs",
            ),
            (
                json!({"mqtts": "192.0.2.7:8883", "tlsNames": ["localhost", "127.0.0.1"]}),
                here,
                "-h 192.0.2.7 -p 8883 --capath /etc/ssl/certs",
            ),
            (
                json!({"mqtts": "0.0.0.0:8883", "tlsNames": ["localhost", "127.0.0.1"]}),
                here,
                "-h 127.0.0.1 -p 8883 --capath /etc/ssl/certs",
            ),
            (
                json!({"mqtts": "192.0.2.7:8883", "tlsNames": ["*.plant.test", "hub.plant.test"]}),
                here,
                "-h hub.plant.test -p 8883 --capath /etc/ssl/certs",
            ),
            (json!({"mqtts": "192.0.2.7:8883"}), here, "-h 192.0.2.7 -p 8883 --capath /etc/ssl/certs"),
            (json!({}), here, "-h 127.0.0.1 -p 1883"),
        ] {
            let known: Listeners = serde_json::from_value(listeners.clone()).unwrap();
            assert_eq!(destination(&known, admin), expected, "{listeners}");
        }
    }
}
