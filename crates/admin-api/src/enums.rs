//! Enums with the names and numbers of Google's API: written as names, read as either.

use std::{borrow::Cow, fmt, str::FromStr};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A name that the enum does not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownName(String);

impl fmt::Display for UnknownName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for UnknownName {}

/// A name, its number as text, or its number.
#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Text(String),
    Number(u64),
}

macro_rules! enums {
    ($($(#[$about:meta])* $name:ident { $($case:ident $text:literal $number:literal)* })*) => {$(
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name {
            $($case,)*
        }

        impl $name {
            pub const ALL: &[Self] = &[$(Self::$case),*];

            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$case => $text,)*
                }
            }

            #[must_use]
            pub fn number(self) -> u64 {
                match self {
                    $(Self::$case => $number,)*
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.name())
            }
        }

        impl FromStr for $name {
            type Err = UnknownName;

            fn from_str(text: &str) -> Result<Self, UnknownName> {
                let number = text.parse().ok();
                let found = Self::ALL.iter().find(|case| case.name() == text || Some(case.number()) == number);
                found.copied().ok_or_else(|| {
                    let names: Vec<_> = Self::ALL.iter().map(|case| case.name()).collect();
                    UnknownName(format!("must be one of {}, not {text:?}", names.join(", ")))
                })
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.name())
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = match Written::deserialize(deserializer) {
                    Ok(Written::Text(text)) => text,
                    Ok(Written::Number(number)) => number.to_string(),
                    Err(_) => return Err(de::Error::custom("must be a name or its number")),
                };
                text.parse().map_err(de::Error::custom)
            }
        }

        impl JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            /// The numbers are in the order of the names.
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                let (names, numbers) = ([$($text),*], [$($number),*]);
                json_schema!({"anyOf": [{"type": "string", "enum": names}, {"type": "integer", "enum": numbers}]})
            }
        }
    )*};
}

enums! {
    /// The log level of a device. Stored and shown, without effect.
    LogLevel {
        Unspecified "LOG_LEVEL_UNSPECIFIED" 0
        None "NONE" 10
        Error "ERROR" 20
        Info "INFO" 30
        Debug "DEBUG" 40
    }
    /// The format of a public key. `X509_FINGERPRINT` is the SHA-1 or SHA-256 digest of a client certificate, in hexadecimal digits.
    PublicKeyFormat {
        RsaX509Pem "RSA_X509_PEM" 1
        Es256Pem "ES256_PEM" 2
        RsaPem "RSA_PEM" 3
        Es256X509Pem "ES256_X509_PEM" 4
        X509Fingerprint "X509_FINGERPRINT" 100
    }
    /// The format of an authority's certificate.
    CertificateFormat {
        X509CertificatePem "X509_CERTIFICATE_PEM" 1
    }
    /// Whether a device is a gateway. Unspecified means "no gateway".
    GatewayType {
        Gateway "GATEWAY" 1
        NonGateway "NON_GATEWAY" 2
        Unspecified "GATEWAY_TYPE_UNSPECIFIED" 0
    }
    /// What a gateway needs to attach a device. Unspecified means that none is given.
    GatewayAuthMethod {
        AssociationOnly "ASSOCIATION_ONLY" 1
        DeviceAuthTokenOnly "DEVICE_AUTH_TOKEN_ONLY" 2
        AssociationAndDeviceAuthToken "ASSOCIATION_AND_DEVICE_AUTH_TOKEN" 3
        Unspecified "GATEWAY_AUTH_METHOD_UNSPECIFIED" 0
    }
    /// Whether the devices of a registry may use MQTT. Unspecified means enabled; disabled is refused.
    MqttState {
        Enabled "MQTT_ENABLED" 1
        Disabled "MQTT_DISABLED" 2
        Unspecified "MQTT_STATE_UNSPECIFIED" 0
    }
    /// Whether the devices of a registry may use HTTP. Unspecified means enabled.
    HttpState {
        Enabled "HTTP_ENABLED" 1
        Disabled "HTTP_DISABLED" 2
        Unspecified "HTTP_STATE_UNSPECIFIED" 0
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn an_enum_is_a_name_or_a_number() {
        for value in [json!("ES256_PEM"), json!(2), json!("2")] {
            assert_eq!(serde_json::from_value::<PublicKeyFormat>(value).unwrap(), PublicKeyFormat::Es256Pem);
        }
        let read = |value: Value| serde_json::from_value::<PublicKeyFormat>(value).unwrap_err().to_string();
        assert!(
            read(json!("PGP")).starts_with("must be one of RSA_X509_PEM, ES256_PEM, RSA_PEM"),
            "{}",
            read(json!("PGP"))
        );
        assert!(read(json!(9)).ends_with("not \"9\"") && read(json!([])).contains("a name or its number"));
        assert_eq!(serde_json::to_value(PublicKeyFormat::RsaPem).unwrap(), "RSA_PEM");
    }
}
