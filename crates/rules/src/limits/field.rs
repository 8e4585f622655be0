//! Bounds of the fields in the bodies of API calls. Each goes with the name by which it is counted, so a field cannot be refused
//! without one: `tests/it/tidy/fields.rs` requires one of these at every field that a caller fills.

use super::LimitName;

/// How much one kind of field may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FieldLimit {
    limit: LimitName,
    most: u64,
    unit: Unit,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    Bytes,
    Items,
    Seconds,
}

/// A field that holds more than it may.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text} (limit {limit})")]
pub struct TooMuch {
    /// What it is counted as.
    pub limit: LimitName,
    text: String,
}

impl FieldLimit {
    const fn new(limit: LimitName, most: usize, unit: Unit) -> Self {
        Self { limit, most: most as u64, unit }
    }

    /// Checks a field of this many bytes, items or seconds; `what` names it for the caller.
    pub fn check(self, what: &str, found: u64) -> Result<(), TooMuch> {
        let Self { limit, most, unit } = self;
        if found <= most {
            return Ok(());
        }
        let text = match unit {
            Unit::Bytes => format!("{what} of {found} bytes is larger than {most}"),
            Unit::Items => format!("{what}: {found} are more than the {most} that there may be"),
            Unit::Seconds => format!("{what} of {found} seconds is longer than {most}"),
        };
        Err(TooMuch { limit, text })
    }

    /// Checks a length in the same way.
    pub fn check_len(self, what: &str, found: usize) -> Result<(), TooMuch> {
        self.check(what, found as u64)
    }
}

/// One for each kind of field.
pub mod fields {
    use super::{
        super::{self as limits, names},
        FieldLimit,
        Unit::{Bytes, Items, Seconds},
    };

    /// The id of a device, registry, plugin or service account. Its type checks it.
    pub const ID: FieldLimit = FieldLimit::new(names::ID_BYTES, limits::ID_BYTES, Bytes);
    /// Why effects that wait for approval are not to happen.
    pub const APPROVAL_REASON: FieldLimit =
        FieldLimit::new(names::APPROVAL_REASON_BYTES, limits::APPROVAL_REASON_BYTES, Bytes);
    pub const METADATA: FieldLimit = FieldLimit::new(names::METADATA_BYTES, limits::METADATA_BYTES, Bytes);
    pub const CREDENTIALS: FieldLimit = FieldLimit::new(names::CREDENTIALS, limits::CREDENTIALS, Items);
    pub const CREDENTIAL: FieldLimit = FieldLimit::new(names::CREDENTIAL_BYTES, limits::CREDENTIAL_BYTES, Bytes);
    /// In base64.
    pub const SYMMETRIC_KEY: FieldLimit =
        FieldLimit::new(names::SYMMETRIC_KEY_BYTES, limits::SYMMETRIC_KEY_BYTES.div_ceil(3) * 4, Bytes);
    pub const ACCESS_KEYS: FieldLimit = FieldLimit::new(names::ACCESS_KEYS, limits::ACCESS_KEYS, Items);
    pub const AUTHORITIES: FieldLimit =
        FieldLimit::new(names::REGISTRY_AUTHORITIES, limits::REGISTRY_AUTHORITIES, Items);
    pub const ENROLLMENTS: FieldLimit = FieldLimit::new(names::ENROLLMENTS, limits::ENROLLMENTS, Items);
    pub const ENROLLMENT: FieldLimit = FieldLimit::new(names::ENROLLMENT_BYTES, limits::ENROLLMENT_BYTES, Bytes);
    pub const EVENT_TOPICS: FieldLimit = FieldLimit::new(names::EVENT_TOPICS, limits::EVENT_TOPICS, Items);
    /// A topic of Google's Pub/Sub, which is kept and shown.
    pub const EVENT_TOPIC: FieldLimit = FieldLimit::new(names::EVENT_TOPIC_BYTES, limits::TOPIC_BYTES, Bytes);
    pub const ENDPOINT_URL: FieldLimit = FieldLimit::new(names::ENDPOINT_URL_BYTES, limits::ENDPOINT_URL_BYTES, Bytes);
    pub const CONFIG: FieldLimit = FieldLimit::new(names::CONFIG_BYTES, limits::CONFIG_BYTES, Bytes);
    pub const COMMAND: FieldLimit = FieldLimit::new(names::COMMAND_BYTES, limits::COMMAND_BYTES, Bytes);
    pub const COMMAND_PROPERTIES: FieldLimit =
        FieldLimit::new(names::COMMAND_PROPERTIES, limits::COMMAND_PROPERTIES, Items);
    /// Names and values together.
    pub const COMMAND_PROPERTY: FieldLimit =
        FieldLimit::new(names::COMMAND_PROPERTIES, limits::COMMAND_PROPERTY_BYTES, Bytes);
    pub const COMMAND_TTL: FieldLimit =
        FieldLimit::new(names::COMMAND_TTL, (limits::COMMAND_TTL_MAX_MS / 1_000) as usize, Seconds);
    pub const SUBFOLDER: FieldLimit = FieldLimit::new(names::SUBFOLDER_BYTES, limits::SUBFOLDER_BYTES, Bytes);
    pub const METHOD: FieldLimit = FieldLimit::new(names::METHOD_BYTES, limits::METHOD_BYTES, Bytes);
    pub const METHOD_NAME: FieldLimit = FieldLimit::new(names::METHOD_NAME_BYTES, limits::METHOD_NAME_BYTES, Bytes);
    pub const METHOD_TIMEOUT: FieldLimit =
        FieldLimit::new(names::METHOD_TIMEOUT, (limits::METHOD_TIMEOUT_MAX_MS / 1_000) as usize, Seconds);
    /// The largest file that a recording may be asked for.
    pub const RECORDING_FILE: FieldLimit =
        FieldLimit::new(names::RECORDING_BYTES, limits::RECORDING_BYTES as usize, Bytes);
    pub const RECORDING_TIME: FieldLimit =
        FieldLimit::new(names::RECORDING_TIME, limits::RECORDING_TIME.as_secs() as usize, Seconds);
    pub const RECORDING_MASKS: FieldLimit = FieldLimit::new(names::RECORDING_MASKS, limits::RECORDING_MASKS, Items);
    pub const PASSWORD: FieldLimit = FieldLimit::new(names::PASSWORD_BYTES, limits::PASSWORD_BYTES, Bytes);
    /// Service accounts in all.
    pub const SERVICES: FieldLimit = FieldLimit::new(names::SERVICES, limits::SERVICES, Items);
    pub const SERVICE_FILTERS: FieldLimit = FieldLimit::new(names::SERVICE_FILTERS, limits::SERVICE_FILTERS, Items);
    pub const SERVICE_FILTER: FieldLimit = FieldLimit::new(names::SERVICE_FILTER_BYTES, limits::TOPIC_BYTES, Bytes);
    pub const DEVICES_OF_GATEWAY: FieldLimit =
        FieldLimit::new(names::DEVICES_OF_GATEWAY, limits::DEVICES_OF_GATEWAY, Items);
    /// Devices that one call of the service side changes.
    pub const HUB_BULK: FieldLimit = FieldLimit::new(names::HUB_BULK, limits::HUB_BULK, Items);
    /// Messages that a device sends to a hub in one call.
    pub const HUB_MESSAGES: FieldLimit = FieldLimit::new(names::HUB_MESSAGES, limits::HUB_MESSAGES, Items);
    pub const GATEWAYS_OF_DEVICE: FieldLimit =
        FieldLimit::new(names::GATEWAYS_OF_DEVICE, limits::GATEWAYS_OF_DEVICE, Items);
    /// URL and headers of a call.
    pub const HEAD: FieldLimit = FieldLimit::new(names::ADMIN_HEAD_BYTES, limits::ADMIN_HEAD_BYTES, Bytes);
    pub const PATH: FieldLimit = FieldLimit::new(names::ADMIN_PATH_BYTES, limits::ADMIN_PATH_BYTES, Bytes);
    pub const PARAMETER: FieldLimit =
        FieldLimit::new(names::ADMIN_PARAMETER_BYTES, limits::ADMIN_PARAMETER_BYTES, Bytes);
    /// Tokens of the admin API in all.
    pub const TOKENS: FieldLimit = FieldLimit::new(names::ADMIN_TOKENS, limits::ADMIN_TOKENS, Items);
    pub const TOKEN_NAME: FieldLimit =
        FieldLimit::new(names::ADMIN_TOKEN_NAME_BYTES, limits::ADMIN_TOKEN_NAME_BYTES, Bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_much_is_reported_with_its_limit() {
        assert_eq!(fields::CONFIG.check_len("a config", 65_536), Ok(()));
        let error = fields::CONFIG.check_len("a config", 65_537).unwrap_err();
        assert_eq!(error.to_string(), "a config of 65537 bytes is larger than 65536 (limit config_bytes)");
        let error = fields::CREDENTIALS.check_len("credentials", 11).unwrap_err();
        assert_eq!(error.to_string(), "credentials: 11 are more than the 10 that there may be (limit credentials)");
        let error = fields::METHOD_TIMEOUT.check("timeout", 301).unwrap_err();
        assert_eq!(error.to_string(), "timeout of 301 seconds is longer than 300 (limit method_timeout)");
    }
}
