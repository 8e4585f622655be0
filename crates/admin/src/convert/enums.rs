//! Enums: read as names and as numbers, written as either.

use serde_json::{Value, json};

use crate::error::Error;
use switchbox_model::{
    CommandStatus, EventKind,
    registry::{ErrorKind, GatewayAuth, KeyFormat},
};

/// How enums are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EnumStyle {
    Names,
    Numbers,
}

/// One case: the model's value, its name and its number in the API.
pub(super) type Case<T> = (T, &'static str, u64);

pub(super) const KEY_FORMATS: &[Case<KeyFormat>] = &[
    (KeyFormat::RsaX509Pem, "RSA_X509_PEM", 1),
    (KeyFormat::Es256Pem, "ES256_PEM", 2),
    (KeyFormat::RsaPem, "RSA_PEM", 3),
    (KeyFormat::Es256X509Pem, "ES256_X509_PEM", 4),
];

/// Google's unspecified is none.
pub(super) const GATEWAY_AUTHS: &[Case<Option<GatewayAuth>>] = &[
    (Some(GatewayAuth::AssociationOnly), "ASSOCIATION_ONLY", 1),
    (Some(GatewayAuth::DeviceAuthTokenOnly), "DEVICE_AUTH_TOKEN_ONLY", 2),
    (Some(GatewayAuth::AssociationAndDeviceAuthToken), "ASSOCIATION_AND_DEVICE_AUTH_TOKEN", 3),
    (None, "GATEWAY_AUTH_METHOD_UNSPECIFIED", 0),
];

/// True = gateway. Google's unspecified counts as "no gateway".
pub(super) const GATEWAY_TYPES: &[Case<bool>] =
    &[(true, "GATEWAY", 1), (false, "NON_GATEWAY", 2), (false, "GATEWAY_TYPE_UNSPECIFIED", 0)];

pub(super) const LOG_LEVELS: &[Case<&str>] = &[
    ("LOG_LEVEL_UNSPECIFIED", "LOG_LEVEL_UNSPECIFIED", 0),
    ("NONE", "NONE", 10),
    ("ERROR", "ERROR", 20),
    ("INFO", "INFO", 30),
    ("DEBUG", "DEBUG", 40),
];

pub(super) fn read<T: Copy>(field: &str, value: &Value, cases: &[Case<T>]) -> Result<T, Error> {
    let found = cases.iter().find(|(_, name, number)| match value {
        Value::String(text) => text == name || text.parse() == Ok(*number),
        other => other.as_u64() == Some(*number),
    });
    found.map(|(case, ..)| *case).ok_or_else(|| {
        let names: Vec<_> = cases.iter().map(|(_, name, _)| *name).collect();
        Error::invalid(format!("{field} must be one of {}, not {value}", names.join(", "))).of_field(field)
    })
}

pub(super) fn write<T: Copy + PartialEq>(value: T, style: EnumStyle, cases: &[Case<T>]) -> Value {
    match (cases.iter().find(|(case, ..)| *case == value), style) {
        (Some((_, name, _)), EnumStyle::Names) => json!(name),
        (Some((_, _, number)), EnumStyle::Numbers) => json!(number),
        (None, _) => Value::Null,
    }
}

/// Of `google.rpc.Code`.
pub(super) fn error_code(kind: ErrorKind) -> u8 {
    match kind {
        ErrorKind::InvalidArgument => 3,
        ErrorKind::PermissionDenied => 7,
        ErrorKind::Unauthenticated => 16,
    }
}

/// Gateways only, or all but gateways; none = both.
pub(crate) fn gateway_filter(text: &str) -> Result<Option<bool>, Error> {
    const FILTERS: &[Case<Option<bool>>] =
        &[(Some(true), "GATEWAY", 1), (Some(false), "NON_GATEWAY", 2), (None, "GATEWAY_TYPE_UNSPECIFIED", 0)];
    read("gatewayListOptions.gatewayType", &text.into(), FILTERS)
}

/// The kind of an event, as triggers name it.
pub(crate) fn command_status(text: &str) -> Result<CommandStatus, Error> {
    serde_json::from_value(text.into()).map_err(|_| {
        Error::invalid(format!(
            "status must be queued, sent, acknowledged, expired, rejected, purged or sent-unconfirmed, not {text:?}"
        ))
    })
}

pub(crate) fn event_kind(text: &str) -> Result<EventKind, Error> {
    serde_json::from_value(text.into()).map_err(|_| {
        Error::invalid(format!(
            "kind must be telemetry, state, connected, disconnected, command-settled, timer or topic, not {text:?}"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_enum_is_a_name_or_a_number() {
        for value in [json!("ES256_PEM"), json!(2), json!("2")] {
            assert_eq!(read("format", &value, KEY_FORMATS).unwrap(), KeyFormat::Es256Pem);
        }
        let error = read("publicKey.format", &json!("PGP"), KEY_FORMATS).unwrap_err().text;
        assert!(error.starts_with("publicKey.format must be one of RSA_X509_PEM, ES256_PEM"), "{error}");
        assert_eq!(write(KeyFormat::RsaPem, EnumStyle::Names, KEY_FORMATS), json!("RSA_PEM"));
        assert_eq!(write(KeyFormat::RsaPem, EnumStyle::Numbers, KEY_FORMATS), json!(3));
        assert!(event_kind("command-settled").is_ok() && event_kind("blinked").is_err());
    }
}
