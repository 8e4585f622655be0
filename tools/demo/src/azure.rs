//! The scene of Azure IoT Hub: a phone reads one device's events from the event endpoint, and opens a garage door by a direct method. No
//! plugin takes part: the host only relays, as the hub would.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use fe2o3_amqp::{Connection, Receiver, Session, sasl_profile::SaslProfile};
use fe2o3_amqp_types::{
    messaging::{Body, Source},
    primitives::{Symbol, Value as Amqp},
};
use serde_amqp::{described::Described, descriptor::Descriptor};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::{
    api::call,
    host_location::{Azure, HostLocation},
    printer::{Colour, Printer},
    scripted_client::{Login, ScriptedClient},
};
use switchbox_azure::{ConnectionString, Policy, sas};
use switchbox_cli::trust;
use switchbox_support::clock;

/// By this name devices and the phone call the hub; the certificate has it.
const HOST: &str = "127.0.0.1";
/// Time limit of each step.
const SOON: Duration = Duration::from_secs(10);
/// How long signatures are valid, seconds.
const VALID_SECS: u64 = 3_600;
const REGISTRY: &str = "/v1/projects/local/locations/local/registries/default";
const PHONE: &str = "phone-1";
/// What the phone sees: events of one device, from the oldest on.
const SELECTOR: &str =
    "amqp.annotation.x-opt-offset > '-1' AND amqp.annotation.iothub-connection-device-id = 'motion-1'";

pub(super) async fn play(location: &HostLocation, printer: &mut Printer) -> Result<String, String> {
    let azure = location.azure.as_ref().ok_or("this host has no listeners for Azure IoT Hub")?;
    let mut door = device(location, printer, "garage-1", &["$iothub/methods/POST/#"]).await?;
    let motion = device(location, printer, "motion-1", &[]).await?;
    let other = device(location, printer, "motion-2", &[]).await?;
    let key = key(location, &json!({"policy": "service", "hostName": HOST})).await?;
    let mut phone = Phone::connect(azure, &key).await?;
    printer.event_line(PHONE, Colour::Plain, "reads the events of motion-1 from the event endpoint");
    let began = Instant::now();
    other.publish(printer, "devices/motion-2/messages/events/", r#"{"motion":true}"#)?;
    motion.publish(printer, "devices/motion-1/messages/events/%24.ct=application%2Fjson", r#"{"motion":true}"#)?;
    let (from, event) = phone.next().await?;
    printer.event_line(PHONE, Colour::Cyan, &format!("← event of {from}  {event}"));
    if from != "motion-1" {
        return Err(format!("the phone read an event of {from}, and its selector names motion-1"));
    }
    printer.event_line(PHONE, Colour::Plain, "→ calls the method open of garage-1");
    let (url, authority) = (format!("https://{}/twins/garage-1/methods", azure.https), azure.authority.clone());
    let opened = tokio::task::spawn_blocking(move || open(&url, &authority, &key));
    let request = door.receive(printer, SOON).await?;
    let rid = request.topic.rsplit_once("$rid=").map_or("", |(_, rid)| rid);
    door.publish(printer, &format!("$iothub/methods/res/200/?$rid={rid}"), r#"{"opens":true}"#)?;
    let answer = opened.await.map_err(|error| error.to_string())?.map_err(|error| format!("{error:#}"))?;
    printer.event_line(PHONE, Colour::Cyan, &format!("← {answer}"));
    if answer != json!({"status": 200, "payload": {"opens": true}}) {
        return Err(format!("the method's answer is {answer}"));
    }
    Ok(format!("{PHONE} saw motion-1 move and opened garage-1, {:.1?} later", began.elapsed()))
}

/// Registers the device with keys, and connects it as Azure's SDKs do.
async fn device(
    location: &HostLocation,
    printer: &mut Printer,
    id: &str,
    filters: &[&str],
) -> Result<ScriptedClient, String> {
    let random: Vec<u8> = (0..32).map(|_| fastrand::u8(..)).collect();
    let made = STANDARD.encode(&random);
    let new = json!({"id": id, "symmetricKeys": {"primaryKey": made, "secondaryKey": made}});
    // It may be there from an earlier run.
    let _ = call(location, move |client| client.post(&format!("{REGISTRY}/devices"), &new)).await;
    let key = key(location, &json!({"deviceId": id, "hostName": HOST})).await?;
    let password = sas::sign(&format!("{HOST}/devices/{id}"), &key, clock::now_ms() / 1_000 + VALID_SECS, None);
    let login = Login { user: format!("{HOST}/{id}/?api-version=2021-04-12"), password };
    ScriptedClient::connect_as(location, printer, id, Some(login), filters).await
}

/// The key of a device or of a policy.
async fn key(location: &HostLocation, request: &Value) -> Result<Vec<u8>, String> {
    let request = request.clone();
    let answer =
        call(location, move |client| client.post(&format!("{REGISTRY}:hubConnectionString"), &request)).await?;
    let text = answer.get("connectionString").and_then(Value::as_str).unwrap_or_default();
    let key = ConnectionString::parse(text).ok().and_then(|parsed| STANDARD.decode(parsed.key?).ok());
    key.ok_or_else(|| "the host made no key".to_owned())
}

/// Calls the method as Azure's service SDKs do.
fn open(url: &str, authority: &Path, key: &[u8]) -> anyhow::Result<Value> {
    let token = sas::sign(HOST, key, clock::now_ms() / 1_000 + VALID_SECS, Some(Policy::Service));
    let tls = trust::config(trust::read(authority)?);
    let config = ureq::Agent::config_builder().tls_config(tls).timeout_global(Some(SOON));
    let body = json!({"methodName": "open", "responseTimeoutInSeconds": 10, "payload": {"by": PHONE}});
    let call = config.build().new_agent().post(format!("{url}?api-version=2021-04-12"));
    Ok(call.header("authorization", token).send_json(body)?.body_mut().read_json()?)
}

/// The phone's link to the only partition of the demo's host.
struct Phone {
    receiver: Receiver,
    // The link ends with them.
    _session: fe2o3_amqp::session::SessionHandle<()>,
    _connection: Arc<fe2o3_amqp::connection::ConnectionHandle<()>>,
}

impl Phone {
    async fn connect(azure: &Azure, key: &[u8]) -> Result<Self, String> {
        let plain = SaslProfile::Plain { username: "service".to_owned(), password: STANDARD.encode(key) };
        let url = format!("amqp://{}", azure.amqp);
        let connecting = async {
            let connection = Connection::builder().container_id(PHONE).sasl_profile(plain).open(url.as_str()).await;
            let mut connection = connection.map_err(|error| error.to_string())?;
            let mut session = Session::begin(&mut connection).await.map_err(|error| error.to_string())?;
            let address = "default/ConsumerGroups/$Default/Partitions/0";
            let source = Source::builder().address(address);
            let kind = Symbol::from("apache.org:selector-filter:string");
            let selector =
                Described { descriptor: Descriptor::Name(kind.clone()), value: Amqp::String(SELECTOR.into()) };
            let source = source.add_to_filter(kind, selector);
            let receiver = Receiver::builder().name("motion").source(source.build()).attach(&mut session).await;
            let receiver = receiver.map_err(|error| error.to_string())?;
            Ok(Self { receiver, _session: session, _connection: Arc::new(connection) })
        };
        let connected: Result<Self, String> =
            timeout(SOON, connecting).await.unwrap_or_else(|_| Err("no answer".into()));
        connected.map_err(|why| format!("{PHONE} cannot read events: {why}"))
    }

    /// The next event: the id of its device, and its payload.
    async fn next(&mut self) -> Result<(String, String), String> {
        let received = timeout(SOON, self.receiver.recv::<Body<Amqp>>()).await;
        let delivery =
            received.map_err(|_| format!("{PHONE} receives no event"))?.map_err(|error| error.to_string())?;
        self.receiver.accept(&delivery).await.map_err(|error| error.to_string())?;
        let message = delivery.into_message();
        let annotations = message.message_annotations.unwrap_or_default();
        let from = annotations.0.iter().find_map(|(name, value)| match (name, value) {
            (fe2o3_amqp_types::messaging::annotations::OwnedKey::Symbol(name), Amqp::String(id))
                if name.as_str() == "iothub-connection-device-id" =>
            {
                Some(id.clone())
            }
            _ => None,
        });
        let bytes: Vec<u8> = match message.body {
            Body::Data(parts) => parts.into_iter().flat_map(|part| part.0.into_vec()).collect(),
            _ => Vec::new(),
        };
        Ok((from.unwrap_or_default(), String::from_utf8_lossy(&bytes).into_owned()))
    }
}
