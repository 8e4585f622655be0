//! Converts registries between the API's types and the model. Fields of Google's own service (Pub/Sub topics) are stored and shown
//! but have no effect, so that programs written for it still work. Fields without effect that would mislead are refused by name.

use std::collections::BTreeMap;

use super::{Mask, validity};
use crate::error::Error;
use switchbox_admin_api::{
    self as api, CertificateFormat, EventNotificationConfig, HttpConfig, HttpState, MqttConfig, MqttState, Time,
};
use switchbox_model::{
    limits::fields,
    patch::RegistryPatch,
    registry::{EventTopic, RegistrySpec},
};
use switchbox_store::RegistryDoc;
use switchbox_support::clock;

pub(crate) fn registry_spec(request: api::DeviceRegistry) -> Result<RegistrySpec, Error> {
    if request.mqtt_config.and_then(|config| config.mqtt_enabled_state) == Some(MqttState::Disabled) {
        return Err(Error::unimplemented("a registry without MQTT (block its devices instead)")
            .of_field("mqttConfig.mqttEnabledState"));
    }
    let http = request.http_config.and_then(|config| config.http_enabled_state);
    let state_topic = request.state_notification_config.map(|config| config.pubsub_topic_name);
    let long = state_topic.as_ref().map_or(0, String::len);
    let short = fields::EVENT_TOPIC.check_len("pubsubTopicName", long);
    short.map_err(|error| Error::from(error).of_field("stateNotificationConfig.pubsubTopicName"))?;
    let few = fields::AUTHORITIES.check_len("credentials", request.credentials.len());
    few.map_err(|error| Error::from(error).of_field("credentials"))?;
    Ok(RegistrySpec {
        log_level: request.log_level.map(|level| level.name().to_owned()),
        http_disabled: http == Some(HttpState::Disabled),
        authorities: request.credentials.into_iter().map(authority).collect::<Result<_, _>>()?,
        event_topics: event_topics(request.event_notification_configs)?,
        state_topic: state_topic.filter(|topic| !topic.is_empty()),
        access_keys: BTreeMap::new(),
    })
}

/// The checked text of an authority's certificate.
pub(crate) fn authority(credential: api::RegistryCredential) -> Result<String, Error> {
    let certificate = credential.public_key_certificate.certificate;
    let of_field = |error: Error| error.of_field("credentials.publicKeyCertificate.certificate");
    let short = fields::CREDENTIAL.check_len("a registry's certificate", certificate.len());
    short.map_err(|error| of_field(error.into()))?;
    validity::check_authority(&certificate, clock::now_ms()).map_err(|text| of_field(Error::invalid(text)))?;
    Ok(certificate)
}

/// Google's rules: each subfolder occurs once, and the entry without a subfolder is the last one.
fn event_topics(configs: Vec<EventNotificationConfig>) -> Result<Vec<EventTopic>, Error> {
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
            return invalid("the one without subfolderMatches must be last");
        }
        topics.push(EventTopic { topic: config.pubsub_topic_name, subfolder: config.subfolder_matches });
    }
    Ok(topics)
}

/// The patch of the fields in the mask, with the values of `new`.
pub(crate) fn registry_patch(new: RegistrySpec, mask: &Mask) -> Result<RegistryPatch, Error> {
    let RegistrySpec { log_level, http_disabled, authorities, event_topics, state_topic, access_keys: _ } = new;
    let mut patch = RegistryPatch::default();
    for path in mask.paths() {
        match path {
            "logLevel" => patch.log_level = Some(log_level.clone()),
            "httpConfig" | "httpConfig.httpEnabledState" => patch.http_disabled = Some(http_disabled),
            // It has only one value, which `registry_spec` has checked.
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

pub(crate) fn registry(registry: &RegistryDoc) -> api::DeviceRegistry {
    let RegistryDoc { name, spec, created_ms, .. } = registry;
    let http = if spec.http_disabled { HttpState::Disabled } else { HttpState::Enabled };
    let topic = |topic: &String| api::StateNotificationConfig { pubsub_topic_name: topic.clone() };
    api::DeviceRegistry {
        id: Some(name.id().to_owned()),
        name: Some(name.as_str().to_owned()),
        create_time: Some(Time(*created_ms)),
        mqtt_config: Some(MqttConfig { mqtt_enabled_state: Some(MqttState::Enabled) }),
        http_config: Some(HttpConfig { http_enabled_state: Some(http) }),
        log_level: spec.log_level.as_deref().and_then(|level| level.parse().ok()),
        credentials: spec.authorities.iter().map(|certificate| authority_out(certificate)).collect(),
        event_notification_configs: spec.event_topics.iter().map(event_topic).collect(),
        state_notification_config: spec.state_topic.as_ref().map(topic),
        warnings: Vec::new(),
    }
}

fn authority_out(certificate: &str) -> api::RegistryCredential {
    api::RegistryCredential {
        public_key_certificate: api::PublicKeyCertificate {
            format: CertificateFormat::X509CertificatePem,
            certificate: certificate.to_owned(),
            x509_details: None,
        },
    }
}

fn event_topic(config: &EventTopic) -> EventNotificationConfig {
    EventNotificationConfig { subfolder_matches: config.subfolder.clone(), pubsub_topic_name: config.topic.clone() }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{
        super::{body, objects::Objects},
        *,
    };
    use switchbox_model::RegistryName;

    fn read(text: &str) -> Result<RegistrySpec, Error> {
        body::read(text.as_bytes()).and_then(registry_spec)
    }

    /// An authority's certificate that is valid in these years.
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
        let doc = RegistryDoc {
            name,
            spec: read(&written.to_string()).unwrap(),
            enrollments: std::sync::Arc::default(),
            created_ms: 0,
            revision: 0,
        };
        let mut shown: Value = serde_json::to_value(registry(&doc)).unwrap();
        Objects::of::<api::DeviceRegistry>().number(&mut shown);
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
