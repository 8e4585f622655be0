//! The enums of the API and those of the model.

use crate::error::Error;
use switchbox_admin_api::{GatewayAuthMethod, GatewayType, PublicKeyFormat};
use switchbox_model::{
    CommandStatus, EventKind,
    registry::{ErrorKind, GatewayAuth, KeyFormat},
};

pub(super) fn key_format(format: PublicKeyFormat) -> KeyFormat {
    match format {
        PublicKeyFormat::RsaX509Pem => KeyFormat::RsaX509Pem,
        PublicKeyFormat::Es256Pem => KeyFormat::Es256Pem,
        PublicKeyFormat::RsaPem => KeyFormat::RsaPem,
        PublicKeyFormat::Es256X509Pem => KeyFormat::Es256X509Pem,
        PublicKeyFormat::X509Fingerprint => KeyFormat::X509Fingerprint,
    }
}

pub(super) fn key_format_out(format: KeyFormat) -> PublicKeyFormat {
    match format {
        KeyFormat::RsaX509Pem => PublicKeyFormat::RsaX509Pem,
        KeyFormat::Es256Pem => PublicKeyFormat::Es256Pem,
        KeyFormat::RsaPem => PublicKeyFormat::RsaPem,
        KeyFormat::Es256X509Pem => PublicKeyFormat::Es256X509Pem,
        KeyFormat::X509Fingerprint => PublicKeyFormat::X509Fingerprint,
    }
}

/// Google's `UNSPECIFIED` becomes `None`.
pub(super) fn gateway_auth(method: GatewayAuthMethod) -> Option<GatewayAuth> {
    match method {
        GatewayAuthMethod::AssociationOnly => Some(GatewayAuth::AssociationOnly),
        GatewayAuthMethod::DeviceAuthTokenOnly => Some(GatewayAuth::DeviceAuthTokenOnly),
        GatewayAuthMethod::AssociationAndDeviceAuthToken => Some(GatewayAuth::AssociationAndDeviceAuthToken),
        GatewayAuthMethod::Unspecified => None,
    }
}

pub(super) fn gateway_auth_out(method: GatewayAuth) -> GatewayAuthMethod {
    match method {
        GatewayAuth::AssociationOnly => GatewayAuthMethod::AssociationOnly,
        GatewayAuth::DeviceAuthTokenOnly => GatewayAuthMethod::DeviceAuthTokenOnly,
        GatewayAuth::AssociationAndDeviceAuthToken => GatewayAuthMethod::AssociationAndDeviceAuthToken,
    }
}

/// A number of `google.rpc.Code`.
pub(super) fn error_code(kind: ErrorKind) -> u8 {
    match kind {
        ErrorKind::InvalidArgument => 3,
        ErrorKind::PermissionDenied => 7,
        ErrorKind::Unauthenticated => 16,
    }
}

/// Only gateways, or only other devices. Returns `None` for both.
pub(crate) fn gateway_filter(text: &str) -> Result<Option<bool>, Error> {
    let field = "gatewayListOptions.gatewayType";
    match text.parse() {
        Ok(GatewayType::Gateway) => Ok(Some(true)),
        Ok(GatewayType::NonGateway) => Ok(Some(false)),
        Ok(GatewayType::Unspecified) => Ok(None),
        Err(error) => Err(Error::invalid(format!("{field} {error}")).of_field(field)),
    }
}

pub(crate) fn command_status(text: &str) -> Result<CommandStatus, Error> {
    serde_json::from_value(text.into()).map_err(|_| {
        Error::invalid(format!(
            "status must be queued, sent, acknowledged, expired, rejected, purged or sent-unconfirmed, not {text:?}"
        ))
    })
}

/// The kind of an event, as triggers name it.
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
    fn a_parameter_that_is_an_enum_is_read_or_refused_by_name() {
        assert_eq!(gateway_filter("1"), Ok(Some(true)));
        assert!(gateway_filter("DOOR").unwrap_err().text.starts_with("gatewayListOptions.gatewayType must be one of"));
        assert!(event_kind("command-settled").is_ok() && event_kind("blinked").is_err());
    }
}
