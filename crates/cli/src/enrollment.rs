//! `switchbox enrollment`: devices that are registered when they first ask for it.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Subcommand;
use serde_json::Value;

use super::{
    answer::{or_dash, typed, yes},
    client::Client,
    on_host,
    table::{self, table},
    url::escape,
    when::at,
};
use switchbox_admin_api::{Enrollment, ListEnrollmentsResponse};
use switchbox_model::registry::check_metadata_key;

#[derive(Debug, Subcommand)]
pub enum Action {
    /// Create an enrolment, for many devices or for the one that --registration-id names. Prints the keys, once
    Create(NewEnrollment),
    /// List all enrolments of the registry
    List,
    /// Show one enrolment, without its keys
    Get { enrollment: String },
    /// Delete an enrolment; devices that it registered stay
    Delete { enrollment: String },
}

#[derive(Debug, clap::Args)]
pub struct NewEnrollment {
    enrollment: String,
    /// The registration id of the one device that it is for
    #[arg(long, value_name = "ID")]
    registration_id: Option<String>,
    /// The id that this device gets [default: its registration id]
    #[arg(long, value_name = "ID", requires = "registration_id")]
    device_id: Option<String>,
    /// The certificate of the one device, or of the authority of many (PEM), instead of keys
    #[arg(long, value_name = "FILE")]
    certificate: Option<PathBuf>,
    /// JSON that a device gets when it is registered
    #[arg(long, value_name = "JSON")]
    payload: Option<String>,
    /// The config that a device is registered with
    #[arg(long, value_name = "TEXT")]
    config: Option<String>,
    /// Metadata that a device is registered with; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    metadata: Vec<(String, String)>,
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or_else(|| format!("{text:?} must be KEY=VALUE"))?;
    check_metadata_key(key).map_err(|error| error.to_string())?;
    Ok((key.to_owned(), value.to_owned()))
}

impl NewEnrollment {
    fn body(&self) -> anyhow::Result<Enrollment> {
        let read = |file: &PathBuf| {
            std::fs::read_to_string(file).with_context(|| format!("{} cannot be read", file.display()))
        };
        Ok(Enrollment {
            id: Some(self.enrollment.clone()),
            registration_id: self.registration_id.clone(),
            device_id: self.device_id.clone(),
            certificate: self.certificate.as_ref().map(read).transpose()?,
            payload: self.payload.clone(),
            config: self.config.clone(),
            metadata: self.metadata.iter().cloned().collect(),
            ..Enrollment::default()
        })
    }
}

impl on_host::Action for Action {
    fn run(&self, client: &Client) -> anyhow::Result<(Value, String)> {
        let path = escape(&format!("/v1/{}/enrollments", client.home()?));
        let one = |id: &str| format!("{path}/{}", escape(id));
        match self {
            Action::Create(new) => {
                let answer = client.post(&path, &new.body()?)?;
                let text = made(typed(&answer)?);
                Ok((answer, text))
            }
            Action::List => {
                let answer = client.all(&path, "enrollments")?;
                let list: ListEnrollmentsResponse = typed(&answer)?;
                let rows: Vec<_> = list.enrollments.into_iter().map(row).collect();
                Ok((answer, table(&["ENROLMENT", "FOR", "PROOF"], &rows)))
            }
            Action::Get { enrollment } => {
                let answer = client.get(&one(enrollment))?;
                let text = details(typed(&answer)?);
                Ok((answer, text))
            }
            Action::Delete { enrollment } => {
                Ok((client.delete(&one(enrollment))?, format!("enrolment {enrollment} is deleted")))
            }
        }
    }
}

fn made(enrollment: Enrollment) -> String {
    let scope = enrollment.id_scope.unwrap_or_default();
    let mut text = format!("ID scope: {scope}");
    if let Some(keys) = enrollment.symmetric_keys {
        text.push_str(&format!("\nprimary key: {}", or_dash(keys.primary_key)));
        text.push_str(&format!("\nsecondary key: {}", or_dash(keys.secondary_key)));
    }
    text
}

/// The device that the enrolment is for, or that it is for many.
fn registration_id_or_many(enrollment: &Enrollment) -> String {
    enrollment.registration_id.clone().unwrap_or_else(|| "many".to_owned())
}

fn proof(enrollment: &Enrollment) -> &'static str {
    if enrollment.certificate.is_some() { "certificate" } else { "symmetric keys" }
}

fn row(enrollment: Enrollment) -> Vec<String> {
    vec![enrollment.id.clone().unwrap_or_default(), registration_id_or_many(&enrollment), proof(&enrollment).to_owned()]
}

fn details(enrollment: Enrollment) -> String {
    let pair = |name: &str, value: String| vec![name.to_owned(), value];
    let mut rows = vec![
        pair("enrolment", or_dash(enrollment.id.clone())),
        pair("for", registration_id_or_many(&enrollment)),
        pair("proof", proof(&enrollment).to_owned()),
        pair("ID scope", or_dash(enrollment.id_scope)),
        pair("disabled", yes(enrollment.disabled)),
        pair("made", at(or_dash(enrollment.create_time))),
    ];
    let more = [("device", enrollment.device_id), ("payload", enrollment.payload), ("config", enrollment.config)];
    rows.extend(more.into_iter().filter_map(|(name, value)| Some(pair(name, value?))));
    rows.extend(enrollment.metadata.into_iter().map(|(key, value)| pair("metadata", format!("{key}={value}"))));
    table::details(&rows)
}
