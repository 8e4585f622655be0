//! Shared access policies: five names, and the rights of each.

use std::fmt;

/// A right of a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccessRight {
    RegistryRead,
    RegistryWrite,
    /// The service side: messages to devices, methods, twins, the events of all devices.
    ServiceConnect,
    /// To act as any device of the hub.
    DeviceConnect,
}

impl fmt::Display for AccessRight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::RegistryRead => "RegistryRead",
            Self::RegistryWrite => "RegistryWrite",
            Self::ServiceConnect => "ServiceConnect",
            Self::DeviceConnect => "DeviceConnect",
        })
    }
}

/// One of the policies that every hub has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    Owner,
    Service,
    Device,
    RegistryRead,
    RegistryReadWrite,
}

impl Policy {
    pub const ALL: [Self; 5] = [Self::Owner, Self::Service, Self::Device, Self::RegistryRead, Self::RegistryReadWrite];

    /// Its name in tokens and connection strings.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Owner => "iothubowner",
            Self::Service => "service",
            Self::Device => "device",
            Self::RegistryRead => "registryRead",
            Self::RegistryReadWrite => "registryReadWrite",
        }
    }

    /// Policy names are case-insensitive, as in Azure.
    #[must_use]
    pub fn find(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|policy| policy.name().eq_ignore_ascii_case(name))
    }

    #[must_use]
    pub fn allows(self, right: AccessRight) -> bool {
        match self {
            Self::Owner => true,
            Self::Service => right == AccessRight::ServiceConnect,
            Self::Device => right == AccessRight::DeviceConnect,
            Self::RegistryRead => right == AccessRight::RegistryRead,
            Self::RegistryReadWrite => matches!(right, AccessRight::RegistryRead | AccessRight::RegistryWrite),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_allows_what_its_name_says() {
        let all = [
            AccessRight::RegistryRead,
            AccessRight::RegistryWrite,
            AccessRight::ServiceConnect,
            AccessRight::DeviceConnect,
        ];
        for (name, allowed) in [
            ("iothubowner", &all[..]),
            ("service", &all[2..3]),
            ("device", &all[3..]),
            ("registryRead", &all[..1]),
            ("REGISTRYREADWRITE", &all[..2]),
        ] {
            let policy = Policy::find(name).unwrap();
            let found: Vec<_> = all.into_iter().filter(|right| policy.allows(*right)).collect();
            assert_eq!(found, allowed, "{name}");
        }
        assert_eq!(Policy::find("owner"), None);
    }
}
