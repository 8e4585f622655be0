//! Attaches devices to a gateway's connection, checks their authorisation again when it changes, and detaches them. Does not read topics.

use std::{sync::Arc, time::Instant};

use bytes::Bytes;

use crate::{
    connection::Connection,
    device_delivery::DeliveryReports,
    dialect::{attach, gateway_errors::ErrorType},
    end::{ConnectionEnd, expires_at},
    gateway::{Attachment, Failure, Gateway, attached_device::AttachedLink},
    mailbox::Close,
    presence::Presence,
    resume::resume_attached,
};
use switchbox_auth::{AuthContext, AuthRefusal, Principal};
use switchbox_core::registry::Device;
use switchbox_delivery::DeliveryReport;
use switchbox_model::{
    DeviceId, limits,
    registry::{DeviceError, ErrorKind},
};
use switchbox_support::clock;

impl Connection {
    /// Returns true if the client is a gateway, also if it became one after it connected.
    pub(crate) fn is_gateway(&mut self) -> bool {
        if self.presence.gateway.is_none() {
            self.presence.gateway = Gateway::of(self.presence.device.as_ref());
        }
        let is_gateway = |device: &Arc<Device>| device.spec().gateway.is_some();
        self.presence.device.as_ref().is_some_and(is_gateway)
    }

    /// Attaches the device. If it is attached already, the new token replaces the one before.
    pub(crate) async fn attach(&mut self, id: &DeviceId, payload: &Bytes) -> Result<(), Failure> {
        let failed = |text: String| Failure::new(ErrorType::Attachment, id.as_str(), text);
        let auth_context = self.admit_attached(id, payload).await?;
        let Principal::Device(device) = auth_context.principal.clone() else {
            return Err(failed("only devices can be attached".into()));
        };
        self.detach_previous(&device);
        let Presence { shared, device: Some(gateway), mailbox, gateway: Some(devices), .. } = &mut self.presence else {
            return Err(failed("the client is not a gateway".into()));
        };
        let expires_at = expires_at(auth_context.end());
        if let Some(existing) = devices.attached.get_mut(id) {
            existing.auth_context = auth_context;
            existing.expires_at = expires_at;
        } else {
            let link = AttachedLink::new(device.clone(), mailbox.clone(), self.connection_epoch);
            link.update_commands_unconfirmed(&mailbox.lock());
            let online = shared.host.delivery.attach(&device, link.clone(), &gateway.name.id);
            let online = online.map_err(|taken| failed(taken.to_string()))?;
            tracing::debug!(gateway = %gateway.name, device = %device.name, "attached");
            resume_attached(&online, &device, mailbox);
            shared.gateway_routes.add(device.num, mailbox);
            devices.attached.insert(id.clone(), Attachment { device, online, link, auth_context, expires_at });
            // The authorisation may have changed while it was checked.
            mailbox.request_revalidation();
        }
        devices.update_expiry();
        Ok(())
    }

    /// Checks whether the gateway may attach the device. Returns the device's authorisation.
    async fn admit_attached(&mut self, id: &DeviceId, payload: &Bytes) -> Result<AuthContext, Failure> {
        let failed = |text: String| Failure::new(ErrorType::Attachment, id.as_str(), text);
        let Presence { shared, device: Some(gateway), gateway: Some(devices), .. } = &self.presence else {
            return Err(failed("the client is not a gateway".into()));
        };
        if payload.len() > limits::CONTROL_BYTES {
            shared.metrics.limit(limits::names::CONTROL_BYTES);
            return Err(failed(format!("the payload is larger than {} bytes", limits::CONTROL_BYTES)));
        }
        let token = attach::token(payload).map_err(|text| failed(text.into()))?;
        if devices.attached.len() >= limits::ATTACHED_DEVICES && !devices.attached.contains_key(id) {
            shared.metrics.limit(limits::names::ATTACHED_DEVICES);
            let max = limits::ATTACHED_DEVICES;
            return Err(failed(format!("a gateway may have at most {max} devices attached; detach others first")));
        }
        let auth_context = shared.host.auth.attach(gateway, id, token.as_deref()).await;
        auth_context.map_err(|refusal| match refusal {
            AuthRefusal::NotAuthorised(text) => failed(text),
            AuthRefusal::Unavailable(text) => Failure::new(ErrorType::Unknown, id.as_str(), text),
        })
    }

    /// Removes the attachment under this device's id, if another connection has the device now or the id belonged to a deleted device.
    fn detach_previous(&mut self, device: &Device) {
        let id = &device.name.id;
        let previous = self.presence.gateway.as_ref().and_then(|gateway| gateway.attached.get(id));
        let why = previous.and_then(|previous| match previous.link.ended_reason() {
            Some(why) => Some(why.to_owned()),
            None if previous.device.num != device.num => Some(format!("device {id} was deleted and made anew")),
            None => None,
        });
        if let Some(why) = why {
            self.detach_ended(vec![(id.clone(), why)]);
        }
    }

    /// Detaches the device. Returns false if it was not attached.
    pub(crate) fn detach(&mut self, id: &DeviceId, why: &str) -> bool {
        self.record_sent();
        let Presence { shared, mailbox, gateway: Some(gateway), .. } = &mut self.presence else { return false };
        let Some(attachment) = gateway.attached.remove(id) else { return false };
        gateway.update_expiry();
        shared.gateway_routes.remove(attachment.device.num, mailbox);
        attachment.end(why);
        true
    }

    /// Checks the authorisation of the client and of its attached devices again.
    pub(crate) fn revalidate(&mut self) -> Result<(), ConnectionEnd> {
        let Presence { shared, auth_context, device, gateway, .. } = &mut self.presence;
        let until =
            shared.host.auth.still_holds(auth_context).map_err(|why| ConnectionEnd::Closed(Close::Revoked(why)))?;
        self.expires_at = expires_at(until);
        let (Some(device), Some(gateway)) = (device, gateway) else {
            self.presence.gateway = Gateway::of(self.presence.device.as_ref());
            return Ok(());
        };
        let mut ended = Vec::new();
        for (id, attachment) in &mut gateway.attached {
            let link_result = attachment.link.ended_reason().map_or(Ok(()), |why| Err(why.to_owned()));
            match link_result.and_then(|()| shared.host.auth.attachment_holds(device, &attachment.auth_context)) {
                Ok(until) => attachment.expires_at = expires_at(until),
                Err(why) => ended.push((id.clone(), why)),
            }
        }
        gateway.update_expiry();
        self.detach_ended(ended);
        if !self.is_gateway() {
            self.presence.gateway = None;
        }
        Ok(())
    }

    /// Detaches devices whose tokens have expired.
    pub(crate) fn expire_attached(&mut self, now: Instant) {
        let Some(gateway) = &self.presence.gateway else { return };
        let is_over = |attachment: &Attachment| attachment.expires_at.is_some_and(|at| now >= at);
        let ended = gateway.attached.iter().filter(|(_, attachment)| is_over(attachment));
        let why = "the device's token or key expired; attach it again with a new one";
        let ended: Vec<_> = ended.map(|(id, _)| (id.clone(), why.to_owned())).collect();
        self.detach_ended(ended);
    }

    /// Detaches these devices, and reports the reason of each on the gateway's errors topic.
    fn detach_ended(&mut self, ended: Vec<(DeviceId, String)>) {
        for (id, why) in ended {
            // The error is not recorded if another connection has the device by now.
            if let Some(attachment) = self.presence.gateway.as_ref().and_then(|gateway| gateway.get(&id)) {
                let (kind, message) = (ErrorKind::PermissionDenied, format!("detached: {why}"));
                attachment.device.record_error(DeviceError { time_ms: clock::now_ms(), kind, message });
            }
            self.detach(&id, &why);
            tracing::info!(gateway = %self.presence.mailbox.name, device = %id, "detached: {why}");
            self.presence.shared.metrics.refuse("attached device");
            self.publish_error(&Failure::new(ErrorType::Detachment, id.as_str(), why), None);
        }
    }

    /// Reports what was sent and acknowledged, for each device.
    pub(crate) fn report_deliveries(&self, reports: DeliveryReports) {
        let DeliveryReports { own, config_sent, attached, .. } = reports;
        if let (Some(online), true) = (&self.presence.online, config_sent || !own.is_empty()) {
            online.acknowledged(config_sent.then_some(DeliveryReport::ConfigSent).into_iter().chain(own));
        }
        for (device, report) in attached {
            let found = self.presence.gateway.as_ref().and_then(|gateway| gateway.get(&device.name.id));
            // A detached device gets the delivery again when it is attached again.
            if let Some(attachment) = found.filter(|attachment| attachment.device.num == device.num) {
                attachment.online.acknowledged([report]);
            }
        }
    }
}

impl Presence {
    /// Detaches all devices, because the gateway's connection ended.
    pub(crate) fn detach_all(&mut self, end: &ConnectionEnd) {
        let Some(gateway) = self.gateway.take() else { return };
        let why = format!("its gateway left: {}", end.text());
        for (_, attachment) in gateway.attached {
            self.shared.gateway_routes.remove(attachment.device.num, &self.mailbox);
            attachment.end(&why);
        }
    }
}
