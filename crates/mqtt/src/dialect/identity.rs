//! Reads the identity that a client claims at CONNECT, in the form of its dialect. Pure: the claim is not verified here.

use super::Dialect;
use switchbox_auth::{Signed, Signer};
use switchbox_azure::{
    AccessRight, Hubs, Sas, SasError, UserName,
    provisioning::{self, RegistrationUser},
    sas,
};
use switchbox_model::{DeviceId, DeviceName, InvalidName, RegistryName};

/// The fields of CONNECT that contain the claimed identity.
#[derive(Debug, Clone, Copy)]
pub struct ConnectFields<'a> {
    pub client_id: &'a str,
    pub user_name: Option<&'a str>,
    pub password: Option<&'a [u8]>,
}

/// The claimed identity of a client whose user name names its device.
pub enum ClaimedIdentity {
    Device {
        device: DeviceName,
        /// `None` if the client uses a certificate, a token of the other dialect, or a password.
        signed: Option<Signed>,
    },
    /// A device that is not registered yet.
    Registrant {
        registry: RegistryName,
        registration_id: String,
        /// `None` if the client uses a certificate.
        signed: Option<Signed>,
    },
}

impl ClaimedIdentity {
    #[must_use]
    pub fn dialect(&self) -> Dialect {
        match self {
            Self::Device { .. } => Dialect::AzureIotHub,
            Self::Registrant { .. } => Dialect::AzureProvisioning,
        }
    }
}

/// Why a claimed identity is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    #[error("{0} is a module of a device, and modules are not in this version; register it as a device of its own")]
    Module(String),
    #[error("the client id is {client_id:?}, and the user name is that of {device:?}")]
    OtherDevice { client_id: String, device: String },
    #[error(
        "a shared access signature needs the user name HOST/DEVICE/?api-version=…, percent-encoded (to register: \
         SCOPE/registrations/ID/api-version=…)"
    )]
    UserName,
    #[error(transparent)]
    Name(#[from] InvalidName),
    #[error("{device}: the shared access signature: {error}")]
    Sas { device: DeviceName, error: SasError },
    #[error("registration {id}: the shared access signature: {error}")]
    RegistrationSas { id: String, error: SasError },
    #[error("{device}: the policy {policy} does not allow {}", AccessRight::DeviceConnect)]
    Policy { device: DeviceName, policy: &'static str },
}

/// Reads the claimed identity. Returns `None` if the client uses the dialect of Cloud IoT Core, in which the client id is the identity.
pub fn read_identity(fields: ConnectFields<'_>, hubs: &Hubs) -> Result<Option<ClaimedIdentity>, IdentityError> {
    if let Some(user) = fields.user_name.and_then(RegistrationUser::parse) {
        return registrant(user, fields).map(Some);
    }
    let Some(name) = fields.user_name.and_then(UserName::parse) else {
        // A signature is no password. The throttle of passwords would count it, and delay the device after its user name is corrected.
        return if fields.password.is_some_and(sas::is_token) { Err(IdentityError::UserName) } else { Ok(None) };
    };
    if let Some(module) = name.module {
        return Err(IdentityError::Module(format!("{}/{module}", name.device)));
    }
    if !name.fits(fields.client_id) {
        let (client_id, device) = (fields.client_id.to_owned(), name.device.to_owned());
        return Err(IdentityError::OtherDevice { client_id, device });
    }
    let device = DeviceName { registry: hubs.registry(name.host), id: DeviceId::new(name.device)? };
    let token = fields.password.filter(|password| sas::is_token(password));
    let signed = token.map(|token| signed(&device, name.host, token)).transpose()?;
    Ok(Some(ClaimedIdentity::Device { device, signed }))
}

fn registrant(user: RegistrationUser<'_>, fields: ConnectFields<'_>) -> Result<ClaimedIdentity, IdentityError> {
    let RegistrationUser { scope, registration_id } = user;
    if fields.client_id != registration_id {
        let (client_id, device) = (fields.client_id.to_owned(), registration_id.to_owned());
        return Err(IdentityError::OtherDevice { client_id, device });
    }
    let registry = provisioning::registry(scope)?;
    let invalid = |error| IdentityError::RegistrationSas { id: registration_id.to_owned(), error };
    let token = fields.password.filter(|password| sas::is_token(password));
    let signed = token.map(|token| {
        let token = Sas::parse(token).map_err(invalid)?;
        if token.policy.is_some() || !token.covers(scope, &format!("registrations/{registration_id}")) {
            return Err(invalid(SasError::Resource));
        }
        Ok(Signed::new(Signer::Device, token.signed(), token.signature, token.expires_secs))
    });
    let (registration_id, signed) = (registration_id.to_owned(), signed.transpose()?);
    Ok(ClaimedIdentity::Registrant { registry, registration_id, signed })
}

fn signed(device: &DeviceName, host: &str, token: &[u8]) -> Result<Signed, IdentityError> {
    let invalid = |error| IdentityError::Sas { device: device.clone(), error };
    let token = Sas::parse(token).map_err(invalid)?;
    if !token.covers(host, &format!("devices/{}", device.id)) {
        return Err(invalid(SasError::Resource));
    }
    let signer = match token.policy {
        None => Signer::Device,
        Some(policy) if policy.allows(AccessRight::DeviceConnect) => Signer::Registry(policy.name().to_owned()),
        Some(policy) => return Err(IdentityError::Policy { device: device.clone(), policy: policy.name() }),
    };
    Ok(Signed::new(signer, token.signed(), token.signature, token.expires_secs))
}

#[cfg(test)]
mod tests {
    use switchbox_azure::Policy;

    use super::*;

    const USER: &str = "hub.example/lamp-1/?api-version=2021-04-12";

    fn read(client_id: &str, user_name: &str, password: &str) -> Result<Option<ClaimedIdentity>, IdentityError> {
        let hubs = "hub.example=hall".parse().unwrap();
        read_identity(
            ConnectFields { client_id, user_name: Some(user_name), password: Some(password.as_bytes()) },
            &hubs,
        )
    }

    #[test]
    fn a_client_is_the_device_of_its_user_name_in_the_registry_of_its_hub() {
        let token = |policy| sas::sign("hub.example/devices/lamp-1", b"key", 7, policy);
        for (policy, signer) in [(None, Signer::Device), (Some(Policy::Device), Signer::Registry("device".to_owned()))]
        {
            let Some(ClaimedIdentity::Device { device, signed: Some(signed) }) =
                read("lamp-1", USER, &token(policy)).unwrap()
            else {
                panic!("{policy:?}")
            };
            assert_eq!(device.to_string(), "projects/local/locations/local/registries/hall/devices/lamp-1");
            assert_eq!((signed.signer, signed.expires_ms), (signer, 7_000));
        }
        assert!(matches!(read("lamp-1", USER, "my password"), Ok(Some(ClaimedIdentity::Device { signed: None, .. }))));
        assert!(read("lamp-1", "lamp-1", "x").unwrap().is_none());
    }

    #[test]
    fn a_device_that_is_not_registered_names_its_scope() {
        let user = "hall/registrations/lamp-9/api-version=2019-03-31";
        let token = sas::sign("hall/registrations/lamp-9", b"key", 7, None) + "&skn=registration";
        let Some(ClaimedIdentity::Registrant { registry, registration_id, signed }) =
            read("lamp-9", user, &token).unwrap()
        else {
            panic!("{user}")
        };
        assert_eq!((registry.id(), &*registration_id, signed.unwrap().expires_ms), ("hall", "lamp-9", 7_000));
        for (client_id, token) in [
            ("lamp-8", token.clone()),
            ("lamp-9", sas::sign("hall/registrations/lamp-8", b"key", 7, None)),
            ("lamp-9", sas::sign("hall", b"key", 7, Some(Policy::Owner))),
        ] {
            assert!(read(client_id, user, &token).is_err(), "{token}");
        }
    }

    #[test]
    fn what_cannot_be_is_said() {
        let token = |device: &str, policy| sas::sign(&format!("hub.example/devices/{device}"), b"key", 7, policy);
        for (client_id, user, password, part) in [
            ("lamp-1/arm", "hub.example/lamp-1/arm/?api-version=1", String::new(), "modules are not"),
            ("lamp-2", USER, String::new(), "lamp-2"),
            ("lamp#1", "hub.example/lamp#1/?api-version=1", String::new(), "may hold only"),
            ("lamp-1", USER, token("lamp-2", None), "another hub or device"),
            ("lamp-1", USER, token("lamp-1", Some(Policy::Service)), "service does not allow"),
            ("lamp-1", USER, "SharedAccessSignature sr=x".to_owned(), "no sig"),
            ("lamp-1", "hub.example/lamp-1/", token("lamp-1", None), "needs the user name"),
            ("lamp-1", "hub.example/lamp-1", token("lamp-1", None), "needs the user name"),
            ("lamp-1", "unused", token("lamp-1", None), "needs the user name"),
            ("lamp-1", "hall/registrations/lamp-1/", token("lamp-1", None), "needs the user name"),
        ] {
            let error = read(client_id, user, &password).err().unwrap().to_string();
            assert!(error.contains(part), "{error}");
        }
    }
}
