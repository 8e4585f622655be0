//! Which devices a gateway may speak for: decided when it attaches one, and again when something changes.

use std::sync::Arc;

use super::{
    access::Access,
    auth_context::{AccessExpiry, AuthContext, Principal, Proof},
    handle::{Handle, has_credentials, record_failure},
    proving,
    refusal::{AuthRefusal, refused},
};
use switchbox_core::registry::Device;
use switchbox_model::{DeviceId, DeviceName, registry::GatewayAuth};
use switchbox_settings::Enroll;

/// What is known of a gateway and a device when it is decided whether the one speaks for the other.
#[derive(Debug, Clone, Copy)]
struct Facts {
    /// `None` if the device is not a gateway.
    method: Option<GatewayAuth>,
    /// The device is a gateway itself.
    device_is_gateway: bool,
    bound: bool,
    /// The device's own token was shown, and was right.
    token: bool,
    /// No token is asked for: enrolment is open and the device has no credential to sign one with.
    open: bool,
}

/// Why a gateway may not speak for a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AttachError {
    NoGateway,
    IsGateway,
    NotBound,
    NoToken,
}

fn requires_token(method: GatewayAuth) -> bool {
    matches!(method, GatewayAuth::DeviceAuthTokenOnly | GatewayAuth::AssociationAndDeviceAuthToken)
}

fn requires_binding(method: GatewayAuth) -> bool {
    matches!(method, GatewayAuth::AssociationOnly | GatewayAuth::AssociationAndDeviceAuthToken)
}

fn check(facts: Facts) -> Result<(), AttachError> {
    let method = facts.method.ok_or(AttachError::NoGateway)?;
    if facts.device_is_gateway {
        return Err(AttachError::IsGateway);
    }
    if requires_binding(method) && !facts.bound {
        return Err(AttachError::NotBound);
    }
    if requires_token(method) && !facts.token && !facts.open {
        return Err(AttachError::NoToken);
    }
    Ok(())
}

fn text(error: AttachError, gateway: &DeviceName, device: &DeviceName) -> String {
    let (gateway, device) = (&gateway.id, &device.id);
    match error {
        AttachError::NoGateway => format!("{gateway} is not a gateway"),
        AttachError::IsGateway => format!("{device} is a gateway itself, and gateways are not attached"),
        AttachError::NotBound => format!("{device} is not bound to {gateway}"),
        AttachError::NoToken => format!("{gateway} must show a token of {device}: {{\"authorization\": \"JWT\"}}"),
    }
}

impl Handle {
    /// Whether the gateway may speak for the device of its registry that has this id. Where enrolment is open, a device that
    /// is not known is registered and bound, as it would be registered if it connected itself.
    pub async fn attach(
        &self,
        gateway: &Device,
        id: &DeviceId,
        token: Option<&str>,
    ) -> Result<AuthContext, AuthRefusal> {
        let method = gateway.spec().gateway;
        let name = DeviceName { registry: gateway.name.registry.clone(), id: id.clone() };
        let device = match self.registry.find(&name) {
            Some(device) => device,
            None if self.enroll == Enroll::Open && method.is_some() => self.register_and_bind(gateway, name).await?,
            None => return Err(refused(format!("device {id} is not registered"))),
        };
        // A token is ignored where none is required.
        let (proof, end) = match token.filter(|_| method.is_some_and(requires_token)) {
            Some(token) => self.prove_token(&device, token).inspect_err(|refusal| record_failure(&device, refusal))?,
            None => (Proof::None, AccessExpiry::default()),
        };
        let auth_context = AuthContext { principal: Principal::Device(device), access: Access::Own, proof, end };
        self.attachment_holds(gateway, &auth_context).map_err(refused)?;
        Ok(auth_context)
    }

    fn prove_token(&self, device: &Device, token: &str) -> Result<(Proof, AccessExpiry), AuthRefusal> {
        let spec = device.spec();
        if self.enroll == Enroll::Open && !has_credentials(device) {
            return Ok((Proof::None, AccessExpiry::default()));
        }
        proving::by_token(&device.name.to_string(), device.name.registry.project(), &spec.credentials, token.as_bytes())
    }

    async fn register_and_bind(&self, gateway: &Device, name: DeviceName) -> Result<Arc<Device>, AuthRefusal> {
        let device = self.enroll(name).await?;
        self.registry.bind(gateway, &device).await.map_err(refused)?;
        Ok(device)
    }

    /// Whether a gateway may still speak for a device that it attached, and until when; the error says why not.
    pub fn attachment_holds(&self, gateway: &Device, attached: &AuthContext) -> Result<AccessExpiry, String> {
        let Principal::Device(device) = &attached.principal else {
            return Err("only devices can be attached".into());
        };
        let end = self.still_holds(attached)?;
        let facts = Facts {
            method: gateway.spec().gateway,
            device_is_gateway: device.spec().gateway.is_some(),
            bound: self.registry.is_bound(gateway.num, device.num),
            token: attached.proof != Proof::None,
            open: self.enroll == Enroll::Open && !has_credentials(device),
        };
        check(facts).map(|()| end).map_err(|error| text(error, &gateway.name, &device.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_method_asks_for_what_its_name_says() {
        use AttachError::{IsGateway, NoGateway, NoToken, NotBound};
        use GatewayAuth::{AssociationAndDeviceAuthToken, AssociationOnly, DeviceAuthTokenOnly};
        // By (bound, token).
        let all = [(false, false), (false, true), (true, false), (true, true)];
        for (method, expect) in [
            (None, [Err(NoGateway); 4]),
            (Some(AssociationOnly), [Err(NotBound), Err(NotBound), Ok(()), Ok(())]),
            (Some(DeviceAuthTokenOnly), [Err(NoToken), Ok(()), Err(NoToken), Ok(())]),
            (Some(AssociationAndDeviceAuthToken), [Err(NotBound), Err(NotBound), Err(NoToken), Ok(())]),
        ] {
            for ((bound, token), expect) in all.into_iter().zip(expect) {
                let facts = Facts { method, device_is_gateway: false, bound, token, open: false };
                assert_eq!(check(facts), expect, "{facts:?}");
                let nested = Facts { device_is_gateway: true, ..facts };
                assert_eq!(check(nested), Err(if method.is_some() { IsGateway } else { NoGateway }), "{nested:?}");
                // Open enrolment asks for no token of a device that has no key, and for a binding all the same.
                let open = Facts { open: true, ..facts };
                assert_eq!(check(open), if expect == Err(NoToken) { Ok(()) } else { expect }, "{open:?}");
            }
        }
    }
}
