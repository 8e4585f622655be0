//! Which hosts this one may call, as an operator lists them. Pure: resolves nothing.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

/// A list of hosts, each with or without a port: `devices.example.com`, `*.example.com:8443`, `localhost:9000`, `10.1.2.3`,
/// `192.168.0.0/16`, `[::1]:9000`. An empty list allows no host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AllowedHosts(Vec<Entry>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    host: Pattern,
    /// The allowed port. With `None` every port is allowed.
    port: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Pattern {
    Any,
    /// In lower case.
    Name(String),
    /// Any name that ends so; with its leading dot, in lower case.
    Below(String),
    Addresses {
        network: IpAddr,
        bits: u8,
    },
}

impl AllowedHosts {
    pub fn new<'a>(entries: impl Iterator<Item = &'a str>) -> Result<Self, String> {
        entries.map(entry).collect::<Result<_, _>>().map(Self)
    }

    /// Whether the list has the host of a URL. The caller has to check the addresses of the host as well, when it has looked them up.
    #[must_use]
    pub fn names(&self, host: &str, port: u16) -> bool {
        let host = host.to_ascii_lowercase();
        let address = host.trim_start_matches('[').trim_end_matches(']').parse().ok();
        self.any(port, |pattern| match pattern {
            Pattern::Any => true,
            Pattern::Name(name) => *name == host,
            Pattern::Below(end) => host.len() > end.len() && host.ends_with(end.as_str()),
            Pattern::Addresses { network, bits } => address.is_some_and(|address| contains(*network, *bits, address)),
        })
    }

    /// Whether the host may connect to this address of a name in the list: it is public, or the list has the address itself, or it is a
    /// loopback address and the list has `localhost`.
    #[must_use]
    pub fn reaches(&self, address: IpAddr, port: u16) -> bool {
        let address = address.to_canonical();
        is_public(address)
            || self.any(port, |pattern| match pattern {
                Pattern::Addresses { network, bits } => contains(*network, *bits, address),
                Pattern::Name(name) => name == "localhost" && address.is_loopback(),
                Pattern::Any | Pattern::Below(_) => false,
            })
    }

    fn any(&self, port: u16, fits: impl Fn(&Pattern) -> bool) -> bool {
        self.0.iter().any(|entry| entry.port.is_none_or(|allowed_port| allowed_port == port) && fits(&entry.host))
    }
}

fn contains(network: IpAddr, bits: u8, address: IpAddr) -> bool {
    match (network, address) {
        (IpAddr::V4(network), IpAddr::V4(address)) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0);
            network.to_bits() & mask == address.to_bits() & mask
        }
        (IpAddr::V6(network), IpAddr::V6(address)) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
            network.to_bits() & mask == address.to_bits() & mask
        }
        _ => false,
    }
}

/// False for everything that is not for the whole Internet: loopback, private and link-local ranges, unique local addresses,
/// carrier-grade NAT, multicast, and ranges for documentation, benchmarks and translation (IANA's special-purpose registries).
fn is_public(address: IpAddr) -> bool {
    const V4: &[(Ipv4Addr, u8)] = &[
        (Ipv4Addr::new(0, 0, 0, 0), 8),
        (Ipv4Addr::new(10, 0, 0, 0), 8),
        (Ipv4Addr::new(100, 64, 0, 0), 10),
        (Ipv4Addr::new(127, 0, 0, 0), 8),
        (Ipv4Addr::new(169, 254, 0, 0), 16),
        (Ipv4Addr::new(172, 16, 0, 0), 12),
        (Ipv4Addr::new(192, 0, 0, 0), 24),
        (Ipv4Addr::new(192, 0, 2, 0), 24),
        (Ipv4Addr::new(192, 88, 99, 0), 24),
        (Ipv4Addr::new(192, 168, 0, 0), 16),
        (Ipv4Addr::new(198, 18, 0, 0), 15),
        (Ipv4Addr::new(198, 51, 100, 0), 24),
        (Ipv4Addr::new(203, 0, 113, 0), 24),
        (Ipv4Addr::new(224, 0, 0, 0), 3),
    ];
    // Of IPv6, only 2000::/3 is assigned; within it, ranges that embed other addresses or are reserved are excluded.
    const GLOBAL: (Ipv6Addr, u8) = (Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);
    const V6: &[(Ipv6Addr, u8)] = &[
        (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23),
        (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32),
        (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16),
        (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20),
    ];
    match address {
        IpAddr::V4(_) => !V4.iter().any(|(network, bits)| contains((*network).into(), *bits, address)),
        IpAddr::V6(_) => {
            contains(GLOBAL.0.into(), GLOBAL.1, address)
                && !V6.iter().any(|(network, bits)| contains((*network).into(), *bits, address))
        }
    }
}

impl FromStr for AllowedHosts {
    type Err = String;

    /// Entries are separated by commas.
    fn from_str(text: &str) -> Result<Self, String> {
        Self::new(text.split(',').map(str::trim).filter(|entry| !entry.is_empty()))
    }
}

fn entry(text: &str) -> Result<Entry, String> {
    let wrong =
        || format!("{text:?} is not a host: write a name, *.name, an address or a range, with or without :port");
    let (host, port) = split_port(text).ok_or_else(wrong)?;
    let port = port.map(str::parse).transpose().map_err(|_| wrong())?;
    let host = match host.to_ascii_lowercase() {
        any if any == "*" => Pattern::Any,
        host => match (addresses(&host), host.strip_prefix("*.")) {
            (Some(addresses), _) => addresses,
            (None, Some(end)) if is_name(end) => Pattern::Below(format!(".{end}")),
            (None, None) if is_name(&host) => Pattern::Name(host),
            _ => return Err(wrong()),
        },
    };
    Ok(Entry { host, port })
}

/// `host`, `host:port`, `[v6]`, `[v6]:port`, or a bare IPv6 address or range.
fn split_port(text: &str) -> Option<(&str, Option<&str>)> {
    if let Some(rest) = text.strip_prefix('[') {
        let (host, port) = rest.split_once(']')?;
        return match port {
            "" => Some((host, None)),
            port => Some((host, Some(port.strip_prefix(':')?))),
        };
    }
    match text.matches(':').count() {
        1 => text.split_once(':').map(|(host, port)| (host, Some(port))),
        _ => Some((text, None)),
    }
}

fn addresses(host: &str) -> Option<Pattern> {
    let (address, bits) = host.split_once('/').map_or((host, None), |(address, bits)| (address, Some(bits)));
    let network: IpAddr = address.parse().ok()?;
    let max = if network.is_ipv4() { 32 } else { 128 };
    let bits = bits.map_or(Some(max), |bits| bits.parse().ok().filter(|bits| *bits <= max))?;
    Some(Pattern::Addresses { network, bits })
}

fn is_name(text: &str) -> bool {
    let valid =
        |label: &str| !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
    text.split('.').all(valid)
}

impl fmt::Display for AllowedHosts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { f.write_str("none") } else { write!(f, "{} entries", self.0.len()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_called_only_when_it_is_listed() {
        for (list, host, port, expect) in [
            ("", "example.com", 80, false),
            ("example.com", "example.com", 80, true),
            ("example.com", "EXAMPLE.com", 8080, true),
            ("example.com", "a.example.com", 80, false),
            ("example.com:443", "example.com", 443, true),
            ("example.com:443", "example.com", 80, false),
            ("*.example.com", "a.b.example.com", 80, true),
            ("*.example.com", "example.com", 80, false),
            ("*.example.com", "badexample.com", 80, false),
            ("x, example.com ,y", "example.com", 80, true),
            ("*", "example.com", 80, true),
            ("10.0.0.0/8", "10.1.2.3", 80, true),
            ("10.0.0.0/8", "11.1.2.3", 80, false),
            ("[::1]:9000", "[::1]", 9000, true),
            ("[::1]:9000", "[::1]", 9001, false),
            ("fd00::/8", "[fd12::1]", 80, true),
            ("0.0.0.0/0", "8.8.8.8", 80, true),
        ] {
            let allowed: AllowedHosts = list.parse().unwrap();
            assert_eq!(allowed.names(host, port), expect, "{list:?} and {host}:{port}");
        }
    }

    #[test]
    fn private_addresses_are_reached_only_when_they_are_listed_themselves() {
        for (list, address, expect) in [
            ("example.com", "93.184.216.34", true),
            ("example.com", "2606:2800:220:1::1", true),
            ("*", "127.0.0.1", false),
            ("*", "::1", false),
            ("*", "10.0.0.1", false),
            ("*", "172.16.0.1", false),
            ("*", "172.32.0.1", true),
            ("*", "192.168.1.1", false),
            ("*", "169.254.169.254", false),
            ("*", "100.64.0.1", false),
            ("*", "0.0.0.0", false),
            ("*", "224.0.0.1", false),
            ("*", "255.255.255.255", false),
            ("*", "fe80::1", false),
            ("*", "fd00::1", false),
            ("*", "::", false),
            ("*", "::ffff:127.0.0.1", false),
            ("*", "::ffff:8.8.8.8", true),
            ("*", "64:ff9b::7f00:1", false),
            ("*", "2002:7f00:1::1", false),
            ("127.0.0.1", "127.0.0.1", true),
            ("127.0.0.1", "127.0.0.2", false),
            ("127.0.0.1:1", "127.0.0.1", false),
            ("127.0.0.0/8", "::ffff:127.0.0.9", true),
            ("localhost", "127.0.0.1", true),
            ("localhost", "10.0.0.1", false),
            ("*, 10.0.0.0/8", "10.0.0.1", true),
            ("fd00::/8", "fd00::1", true),
        ] {
            let allowed: AllowedHosts = list.parse().unwrap();
            assert_eq!(allowed.reaches(address.parse().unwrap(), 80), expect, "{list:?} and {address}");
        }
    }

    #[test]
    fn what_is_no_host_is_refused_by_name() {
        for text in ["http://a", "a b", "a:x", "a:99999", "*a", "a.*", "10.0.0.0/33", "[::1", "a..b", "x,/"] {
            assert!(text.parse::<AllowedHosts>().is_err(), "{text}");
        }
    }
}
