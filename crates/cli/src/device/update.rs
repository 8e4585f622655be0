//! `switchbox device update`: changes a device's registration.

use serde_json::{Map, Value, json};

use super::create::pairs;
use crate::{client::Client, exit::wrong, url::escape};

#[derive(Debug, clap::Args)]
pub(super) struct Update {
    device: String,
    /// NAME=VALUE of its metadata, or NAME= to remove a name; may be repeated. Other names stay
    #[arg(long = "metadata", value_name = "NAME=VALUE")]
    metadata: Vec<String>,
    /// Call its methods over HTTP at this URL; empty: over MQTT
    #[arg(long, value_name = "URL")]
    method_endpoint: Option<String>,
    /// Block or unblock it
    #[arg(long, value_name = "true|false", action = clap::ArgAction::Set)]
    blocked: Option<bool>,
}

/// The fields to change, and the mask that names them.
fn body(options: &Update) -> anyhow::Result<(Value, String)> {
    let (mut body, mut mask) = (Map::new(), Vec::new());
    let metadata = pairs(&options.metadata)?;
    mask.extend(metadata.keys().map(|name| format!("metadata.{name}")));
    let kept = metadata.into_iter().filter(|(_, value)| !value.is_empty());
    let kept: Map<_, _> = kept.map(|(name, value)| (name, value.into())).collect();
    body.insert("metadata".into(), kept.into());
    if let Some(url) = &options.method_endpoint {
        body.insert("methodEndpoint".into(), json!({ "url": url }));
        mask.push("methodEndpoint".into());
    }
    if let Some(blocked) = options.blocked {
        body.insert("blocked".into(), blocked.into());
        mask.push("blocked".into());
    }
    if mask.is_empty() {
        return Err(wrong("nothing to change is given: use --metadata, --method-endpoint or --blocked"));
    }
    Ok((body.into(), mask.join(",")))
}

pub(super) fn act(client: &Client, options: &Update) -> anyhow::Result<(Value, String)> {
    let (body, mask) = body(options)?;
    let path = format!("{}?updateMask={}", client.path(&options.device, "")?, escape(&mask));
    Ok((client.patch(&path, &body)?, format!("{} is changed", options.device)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_given_is_changed() {
        let update = |metadata: &[&str], method_endpoint: Option<&str>| Update {
            device: "lamp-1".into(),
            metadata: metadata.iter().map(|pair| (*pair).to_owned()).collect(),
            method_endpoint: method_endpoint.map(str::to_owned),
            blocked: None,
        };
        let (body, mask) = body(&update(&["room=hall", "old="], Some(""))).unwrap();
        assert_eq!(mask, "metadata.old,metadata.room,methodEndpoint");
        assert_eq!(body, json!({"metadata": {"room": "hall"}, "methodEndpoint": {"url": ""}}));
        assert!(super::body(&update(&[], None)).unwrap_err().to_string().contains("nothing to change"));
        for pair in ["a,blocked=x", "a,credentials=x", "=x", " a=x", "a =x"] {
            let error = super::body(&update(&[pair], None)).unwrap_err();
            assert!(error.to_string().contains("metadata key"), "{pair}: {error}");
            assert_eq!(crate::exit::code(&error), Some(2), "{pair}");
        }
    }
}
