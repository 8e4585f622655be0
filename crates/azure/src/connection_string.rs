//! Connection strings: they give an SDK the hub, the identity and the key.

use std::fmt;

use crate::policy::Policy;

/// The identity in a connection string.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Identity<'a> {
    Device(&'a str),
    Policy(Policy),
}

/// `HostName=…;DeviceId=…;SharedAccessKey=…`, or with `SharedAccessKeyName` for a policy. The text contains a secret.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ConnectionString<'a> {
    pub host: &'a str,
    pub identity: Identity<'a>,
    /// The key in base64. `None` if the client uses a certificate.
    pub key: Option<&'a str>,
}

impl fmt::Debug for ConnectionString<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectionString").field("identity", &self.identity).finish_non_exhaustive()
    }
}

impl fmt::Display for ConnectionString<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HostName={}", self.host)?;
        match self.identity {
            Identity::Device(id) => write!(f, ";DeviceId={id}")?,
            Identity::Policy(policy) => write!(f, ";SharedAccessKeyName={}", policy.name())?,
        }
        match self.key {
            Some(key) => write!(f, ";SharedAccessKey={key}"),
            None => f.write_str(";x509=true"),
        }
    }
}

/// Why a text is not a connection string.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ConnectionStringError {
    #[error("it has no {0}")]
    Missing(&'static str),
    #[error("it belongs neither to a device nor to a policy of a hub")]
    Identity,
    #[error("it is for a module; this version has no modules")]
    Module,
}

impl<'a> ConnectionString<'a> {
    /// The parts may be in any order. A value may contain `=`, as base64 does.
    pub fn parse(text: &'a str) -> Result<Self, ConnectionStringError> {
        let part = |name: &str| {
            let mut parts = text.trim().split(';').filter_map(|part| part.split_once('='));
            parts.find(|(found, _)| found.trim().eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
        };
        let host = part("HostName").filter(|host| !host.is_empty());
        let host = host.ok_or(ConnectionStringError::Missing("HostName"))?;
        if part("ModuleId").is_some() {
            return Err(ConnectionStringError::Module);
        }
        let policy = part("SharedAccessKeyName").and_then(Policy::find);
        let identity = match (part("DeviceId"), policy) {
            (Some(device), None) => Identity::Device(device),
            (None, Some(policy)) => Identity::Policy(policy),
            _ => return Err(ConnectionStringError::Identity),
        };
        let key = part("SharedAccessKey");
        if key.is_none() && !part("x509").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
            return Err(ConnectionStringError::Missing("SharedAccessKey"));
        }
        Ok(Self { host, identity, key })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_string_is_read_as_it_is_written() {
        for (text, identity, key) in [
            ("HostName=h.example;DeviceId=lamp-1;SharedAccessKey=YWI=", Identity::Device("lamp-1"), Some("YWI=")),
            ("HostName=h.example;DeviceId=lamp-1;x509=true", Identity::Device("lamp-1"), None),
            (
                "HostName=h.example;SharedAccessKeyName=service;SharedAccessKey=YQ==",
                Identity::Policy(Policy::Service),
                Some("YQ=="),
            ),
        ] {
            let read = ConnectionString::parse(text).unwrap();
            assert_eq!(read, ConnectionString { host: "h.example", identity, key });
            assert_eq!(read.to_string(), text);
            assert!(!format!("{read:?}").contains("YQ"));
        }
        let reordered = "SharedAccessKey=YWI=;deviceid=a;HostName=h";
        assert_eq!(ConnectionString::parse(reordered).unwrap().identity, Identity::Device("a"));
    }

    #[test]
    fn what_is_missing_is_said() {
        for (text, expect) in [
            ("DeviceId=a;SharedAccessKey=YQ==", ConnectionStringError::Missing("HostName")),
            ("HostName=h;SharedAccessKey=YQ==", ConnectionStringError::Identity),
            ("HostName=h;SharedAccessKeyName=root;SharedAccessKey=YQ==", ConnectionStringError::Identity),
            ("HostName=h;DeviceId=a", ConnectionStringError::Missing("SharedAccessKey")),
            ("HostName=h;DeviceId=a;ModuleId=m;SharedAccessKey=YQ==", ConnectionStringError::Module),
        ] {
            assert_eq!(ConnectionString::parse(text), Err(expect), "{text}");
        }
    }
}
