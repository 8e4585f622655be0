//! Registries between the API's JSON and the model. What only Google's own service can do (Pub/Sub topics) is kept and shown
//! without effect, so that programs written for it go on working; what would mislead is refused by name.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{
    EnumStyle, Mask,
    body::null_is_default,
    enums::{self, Case},
    validity,
};
use crate::error::Error;
use switchbox_model::{
    limits::fields,
    patch::RegistryPatch,
    registry::{EventTopic, RegistrySpec},
};
use switchbox_store::RegistryDoc;
use switchbox_support::clock;

const MQTT_STATES: &[Case<bool>] =
    &[(true, "MQTT_ENABLED", 1), (false, "MQTT_DISABLED", 2), (true, "MQTT_STATE_UNSPECIFIED", 0)];
const HTTP_STATES: &[Case<bool>] =
    &[(true, "HTTP_ENABLED", 1), (false, "HTTP_DISABLED", 2), (true, "HTTP_STATE_UNSPECIFIED", 0)];
const CERTIFICATE_FORMATS: &[Case<()>] = &[((), "X509_CERTIFICATE_PEM", 1)];

/// A registry as a caller writes it.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RegistryIn {
    /// Bounded by `fields::ID`.
    id: Option<String>,
    /// Bounded by `fields::EVENT_TOPICS`.
    #[serde(default, alias = "event_notification_configs", deserialize_with = "null_is_default")]
    event_notification_configs: Vec<EventsIn>,
    #[serde(alias = "state_notification_config")]
    state_notification_config: Option<StatesIn>,
    #[serde(alias = "mqtt_config")]
    mqtt_config: Option<MqttIn>,
    #[serde(alias = "http_config")]
    http_config: Option<HttpIn>,
    #[serde(alias = "log_level")]
    log_level: Option<Value>,
    /// Bounded by `fields::AUTHORITIES`.
    #[serde(default, deserialize_with = "null_is_default")]
    credentials: Vec<AuthorityIn>,
    #[serde(rename = "name")]
    _name: Option<Value>,
    #[serde(rename = "createTime", alias = "create_time")]
    _create_time: Option<Value>,
    #[serde(rename = "warnings")]
    _warnings: Option<Value>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct EventsIn {
    /// Bounded by `fields::SUBFOLDER`.
    #[serde(default, alias = "subfolder_matches")]
    subfolder_matches: String,
    /// Bounded by `fields::EVENT_TOPIC`.
    #[serde(default, alias = "pubsub_topic_name")]
    pubsub_topic_name: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct StatesIn {
    /// Bounded by `fields::EVENT_TOPIC`.
    #[serde(default, alias = "pubsub_topic_name")]
    pubsub_topic_name: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct MqttIn {
    #[serde(alias = "mqtt_enabled_state")]
    mqtt_enabled_state: Option<Value>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct HttpIn {
    #[serde(alias = "http_enabled_state")]
    http_enabled_state: Option<Value>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct AuthorityIn {
    #[serde(alias = "public_key_certificate")]
    public_key_certificate: CertificateIn,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct CertificateIn {
    format: Value,
    /// Bounded by `fields::CREDENTIAL`.
    certificate: String,
    #[serde(rename = "x509Details", alias = "x509_details")]
    _x509_details: Option<Value>,
}

impl RegistryIn {
    pub(crate) fn id(&self) -> Result<&str, Error> {
        self.id.as_deref().ok_or_else(|| Error::invalid("id is missing").of_field("id"))
    }

    pub(crate) fn spec(self) -> Result<RegistrySpec, Error> {
        let mqtt = self.mqtt_config.and_then(|config| config.mqtt_enabled_state);
        if !read_state("mqttConfig.mqttEnabledState", mqtt.as_ref(), MQTT_STATES)? {
            return Err(Error::unimplemented("a registry without MQTT (block its devices instead)")
                .of_field("mqttConfig.mqttEnabledState"));
        }
        let http = self.http_config.and_then(|config| config.http_enabled_state);
        let state_topic = self.state_notification_config.map(|config| config.pubsub_topic_name);
        let long = state_topic.as_ref().map_or(0, String::len);
        let short = fields::EVENT_TOPIC.check_len("pubsubTopicName", long);
        short.map_err(|error| Error::from(error).of_field("stateNotificationConfig.pubsubTopicName"))?;
        Ok(RegistrySpec {
            log_level: self
                .log_level
                .map(|level| enums::read("logLevel", &level, enums::LOG_LEVELS).map(str::to_owned))
                .transpose()?,
            http_disabled: !read_state("httpConfig.httpEnabledState", http.as_ref(), HTTP_STATES)?,
            authorities: authorities(self.credentials)?,
            event_topics: event_topics(self.event_notification_configs)?,
            state_topic: state_topic.filter(|topic| !topic.is_empty()),
            access_keys: BTreeMap::new(),
        })
    }
}

fn read_state(field: &str, value: Option<&Value>, cases: &[Case<bool>]) -> Result<bool, Error> {
    value.map_or(Ok(true), |value| enums::read(field, value, cases))
}

const CERTIFICATE: &str = "credentials.publicKeyCertificate.certificate";

fn authorities(credentials: Vec<AuthorityIn>) -> Result<Vec<String>, Error> {
    let few = fields::AUTHORITIES.check_len("credentials", credentials.len());
    few.map_err(|error| Error::from(error).of_field("credentials"))?;
    credentials.into_iter().map(|credential| credential.certificate()).collect()
}

impl AuthorityIn {
    /// The certificate's text, checked.
    pub(crate) fn certificate(self) -> Result<String, Error> {
        let CertificateIn { format, certificate, .. } = self.public_key_certificate;
        enums::read("credentials.publicKeyCertificate.format", &format, CERTIFICATE_FORMATS)?;
        let of_field = |error: Error| error.of_field(CERTIFICATE);
        let short = fields::CREDENTIAL.check_len("a registry's certificate", certificate.len());
        short.map_err(|error| of_field(error.into()))?;
        validity::check_authority(&certificate, clock::now_ms()).map_err(|text| of_field(Error::invalid(text)))?;
        Ok(certificate)
    }

    /// The same, of one that is to go.
    pub(crate) fn unchecked(self) -> String {
        self.public_key_certificate.certificate
    }
}

/// Google's rules: each subfolder once, and what has none stands last.
fn event_topics(configs: Vec<EventsIn>) -> Result<Vec<EventTopic>, Error> {
    const FIELD: &str = "eventNotificationConfigs";
    let of_field = |error| Error::from(error).of_field(FIELD);
    fields::EVENT_TOPICS.check_len(FIELD, configs.len()).map_err(of_field)?;
    let mut topics: Vec<EventTopic> = Vec::new();
    for config in configs {
        let invalid = |text: &str| Err(Error::invalid(format!("{FIELD}: {text}")).of_field(FIELD));
        fields::EVENT_TOPIC.check_len("pubsubTopicName", config.pubsub_topic_name.len()).map_err(of_field)?;
        fields::SUBFOLDER.check_len("subfolderMatches", config.subfolder_matches.len()).map_err(of_field)?;
        if config.pubsub_topic_name.is_empty() {
            return invalid("pubsubTopicName is missing");
        }
        if topics.iter().any(|topic| topic.subfolder == config.subfolder_matches) {
            return invalid("each needs its own subfolderMatches");
        }
        if topics.last().is_some_and(|topic| topic.subfolder.is_empty()) {
            return invalid("the one without subfolderMatches must stand last");
        }
        topics.push(EventTopic { topic: config.pubsub_topic_name, subfolder: config.subfolder_matches });
    }
    Ok(topics)
}

/// What the mask names, with its values in `new`.
pub(crate) fn registry_patch(new: RegistrySpec, mask: &Mask) -> Result<RegistryPatch, Error> {
    let RegistrySpec { log_level, http_disabled, authorities, event_topics, state_topic, access_keys: _ } = new;
    let mut patch = RegistryPatch::default();
    for path in mask.paths() {
        match path {
            "logLevel" => patch.log_level = Some(log_level.clone()),
            "httpConfig" | "httpConfig.httpEnabledState" => patch.http_disabled = Some(http_disabled),
            // It has one value only, and `RegistryIn::spec` has seen to that.
            "mqttConfig" | "mqttConfig.mqttEnabledState" => {}
            "credentials" => patch.authorities = Some(authorities.clone()),
            "eventNotificationConfigs" => patch.event_topics = Some(event_topics.clone()),
            "stateNotificationConfig" | "stateNotificationConfig.pubsubTopicName" => {
                patch.state_topic = Some(state_topic.clone());
            }
            other => {
                return Err(Error::invalid(format!(
                    "updateMask names {other:?}; what can be changed is logLevel, httpConfig, mqttConfig, credentials, \
                     eventNotificationConfigs, stateNotificationConfig"
                ))
                .of_field("updateMask"));
            }
        }
    }
    Ok(patch)
}

pub(crate) fn registry(registry: &RegistryDoc, style: EnumStyle) -> Value {
    let RegistryDoc { name, spec, created_ms, .. } = registry;
    let mut shown = Map::new();
    let mut put = |name: &str, value: Value| shown.insert(name.to_owned(), value);
    put("id", json!(name.id()));
    put("name", json!(name.as_str()));
    put("createTime", json!(clock::rfc3339(*created_ms)));
    put("mqttConfig", json!({"mqttEnabledState": enums::write(true, style, MQTT_STATES)}));
    put("httpConfig", json!({"httpEnabledState": enums::write(!spec.http_disabled, style, HTTP_STATES)}));
    if let Some(level) = &spec.log_level {
        put("logLevel", enums::write(level.as_str(), style, enums::LOG_LEVELS));
    }
    if !spec.authorities.is_empty() {
        put("credentials", spec.authorities.iter().map(|certificate| authority(certificate, style)).collect());
    }
    if !spec.event_topics.is_empty() {
        put("eventNotificationConfigs", spec.event_topics.iter().map(event_topic).collect());
    }
    if let Some(topic) = &spec.state_topic {
        put("stateNotificationConfig", json!({ "pubsubTopicName": topic }));
    }
    Value::Object(shown)
}

fn authority(certificate: &String, style: EnumStyle) -> Value {
    let format = enums::write((), style, CERTIFICATE_FORMATS);
    json!({"publicKeyCertificate": {"format": format, "certificate": certificate}})
}

fn event_topic(config: &EventTopic) -> Value {
    if config.subfolder.is_empty() {
        return json!({"pubsubTopicName": config.topic});
    }
    json!({"pubsubTopicName": config.topic, "subfolderMatches": config.subfolder})
}

#[cfg(test)]
mod tests {
    use super::*;
    use switchbox_model::RegistryName;

    fn read(text: &str) -> Result<RegistrySpec, Error> {
        super::super::body::read::<RegistryIn>(text.as_bytes())?.spec()
    }

    /// That of an authority, for these years.
    fn certificate(from: i32, to: i32) -> String {
        let mut params = rcgen::CertificateParams::default();
        (params.not_before, params.not_after) = (rcgen::date_time_ymd(from, 1, 1), rcgen::date_time_ymd(to, 1, 1));
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
        params.self_signed(&key).unwrap().pem()
    }

    #[test]
    fn an_authority_that_is_not_valid_yet_is_refused_and_one_no_more_is_warned_of() {
        let written = |text: &str| {
            json!({"credentials": [{"publicKeyCertificate": {"format": 1, "certificate": text}}]}).to_string()
        };
        let error = read(&written(&certificate(2900, 3000))).unwrap_err().text;
        assert!(error.contains("valid only from 2900-01-01T00:00:00.000Z on"), "{error}");
        for (text, warnings) in [(certificate(2020, 3000), 0), (certificate(2000, 2001), 1)] {
            let spec = read(&written(&text)).unwrap();
            assert_eq!(validity::authority_warnings(&spec.authorities).len(), warnings);
        }
        let error = read(&written("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----")).unwrap_err().text;
        assert!(error.contains("cannot be read"), "{error}");
    }

    #[test]
    fn a_registry_comes_back_as_it_was_written() {
        let written = json!({
            "id": "hall", "logLevel": 30,
            "mqttConfig": {"mqttEnabledState": 1}, "httpConfig": {"httpEnabledState": 2},
            "eventNotificationConfigs": [
                {"pubsubTopicName": "projects/p/topics/a", "subfolderMatches": "alarms"},
                {"pubsubTopicName": "projects/p/topics/b"}],
            "stateNotificationConfig": {"pubsubTopicName": "projects/p/topics/c"},
            "credentials": [{"publicKeyCertificate": {"format": 1, "certificate": certificate(2020, 3000)}}],
        });
        let name = RegistryName::of("p", "l", "hall").unwrap();
        let doc = RegistryDoc { name, spec: read(&written.to_string()).unwrap(), created_ms: 0, revision: 0 };
        let mut shown = registry(&doc, EnumStyle::Numbers);
        let fields = shown.as_object_mut().unwrap();
        assert_eq!(fields.remove("name"), Some(json!("projects/p/locations/l/registries/hall")));
        assert_eq!(fields.remove("createTime"), Some(json!("1970-01-01T00:00:00.000Z")));
        assert_eq!(shown, written);
    }

    #[test]
    fn what_a_registry_cannot_be_is_refused_by_field() {
        let eleven = vec![json!({"pubsubTopicName": "t"}); 11];
        for (written, field) in [
            (json!({"mqttConfig": {"mqttEnabledState": "MQTT_DISABLED"}}), "mqttConfig.mqttEnabledState"),
            (json!({"colour": 1}), "colour"),
            (json!({"eventNotificationConfigs": [{}]}), "eventNotificationConfigs"),
            (json!({"eventNotificationConfigs": eleven}), "eventNotificationConfigs"),
            (
                json!({"eventNotificationConfigs": [{"pubsubTopicName": "t"},
                       {"pubsubTopicName": "t", "subfolderMatches": "late"}]}),
                "eventNotificationConfigs",
            ),
            (
                json!({"credentials": [{"publicKeyCertificate": {"format": 1, "certificate": "x"}}]}),
                "credentials.publicKeyCertificate.certificate",
            ),
        ] {
            let error = read(&written.to_string()).unwrap_err();
            assert_eq!(error.field.as_deref(), Some(field), "{written}: {error}");
        }
    }

    #[test]
    fn an_update_of_a_registry_changes_what_its_mask_names() {
        let old = RegistrySpec { log_level: Some("INFO".into()), http_disabled: true, ..RegistrySpec::default() };
        let mask = |text| Mask::parse(Some(text)).unwrap();
        let mut new = old.clone();
        registry_patch(RegistrySpec::default(), &mask("log_level,mqtt_config")).unwrap().apply(&mut new);
        assert_eq!(new, RegistrySpec { log_level: None, ..old.clone() });
        let error = registry_patch(old, &mask("id")).unwrap_err();
        assert!(error.text.contains("\"id\""), "{error}");
    }
}
