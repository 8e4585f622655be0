//! The user name of an MQTT CONNECT of an Azure IoT Hub client: the hub's host name, the device's id and the API version.

use crate::url_encoding::decode;

/// Longest model id that is kept, bytes.
const PARAMETER_BYTES: usize = 1_024;

/// `{host}/{client id}/?api-version=…&DeviceClientType=…`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserName<'a> {
    /// The hub's host name, as the client gave it.
    pub host: &'a str,
    pub device: &'a str,
    /// A module: a part of a device with its own identity.
    pub module: Option<&'a str>,
    /// The model id that the client announces.
    pub model: Option<String>,
}

impl<'a> UserName<'a> {
    /// Returns `None` if the user name has another form.
    #[must_use]
    pub fn parse(text: &'a str) -> Option<Self> {
        // No name has a question mark, so a value may have `/` that is not encoded. The first SDKs omitted the question mark.
        let (names, query) = text.split_once("/?").or_else(|| text.rsplit_once('/'))?;
        let mut parameters = query.split('&').filter_map(|pair| pair.split_once('='));
        parameters.clone().find(|(name, _)| *name == "api-version")?;
        let mut names = names.split('/');
        let (host, device, module) = (names.next()?, names.next()?, names.next());
        if host.is_empty() || device.is_empty() || module.is_some_and(str::is_empty) || names.next().is_some() {
            return None;
        }
        let model = parameters.find(|(name, _)| *name == "model-id").and_then(|(_, value)| decode(value));
        let model = model.filter(|model| model.len() <= PARAMETER_BYTES).map(Into::into);
        Some(Self { host, device, module, model })
    }

    /// Whether the client id fits the user name.
    #[must_use]
    pub fn fits(&self, client_id: &str) -> bool {
        let (device, module) = client_id.split_once('/').map_or((client_id, None), |(d, m)| (d, Some(m)));
        (device, module) == (self.device, self.module)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_user_names_of_sdks_are_read_and_others_left_alone() {
        let name = |module| UserName { host: "hub.example", device: "lamp-1", module, model: None };
        for (text, expect) in [
            ("hub.example/lamp-1/?api-version=2019-10-01&DeviceClientType=azure-iot-device%2F2.14", Some(name(None))),
            ("hub.example/lamp-1/?api-version=2021-04-12&DeviceClientType=acme/1.0", Some(name(None))),
            ("hub.example/lamp-1/?DeviceClientType=acme/1.0/?x&api-version=2021-04-12", Some(name(None))),
            ("hub.example/lamp-1/api-version=2016-11-14/", None),
            ("hub.example/lamp-1/api-version=2016-11-14", Some(name(None))),
            ("hub.example/lamp-1/?DeviceClientType=x&api-version=2021-04-12", Some(name(None))),
            ("hub.example/lamp-1/arm/?api-version=2021-04-12", Some(name(Some("arm")))),
            ("hub.example/lamp-1/arm/x/?api-version=2021-04-12", None),
            ("hub.example//?api-version=2021-04-12", None),
            ("hub.example/lamp-1", None),
            ("hub.example/lamp-1/?version=1", None),
            ("lamp-1", None),
            ("", None),
        ] {
            assert_eq!(UserName::parse(text), expect, "{text}");
        }
        let with_model = UserName::parse("h/d/?api-version=1&model-id=dtmi%3Aa%3Bb%3B1").unwrap();
        assert_eq!(with_model.model.as_deref(), Some("dtmi:a;b;1"));
    }

    #[test]
    fn the_client_id_must_say_the_same() {
        let (device, module) = (UserName::parse("h/d/?api-version=1"), UserName::parse("h/d/m/?api-version=1"));
        let (device, module) = (device.unwrap(), module.unwrap());
        assert!(device.fits("d") && module.fits("d/m"));
        assert!(!device.fits("d/m") && !device.fits("e") && !module.fits("d") && !module.fits("d/n"));
    }
}
