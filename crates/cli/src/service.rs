//! `switchbox service`: accounts of programs that are not devices, such as a dashboard.

use clap::Subcommand;
use serde_json::{Map, Value};

use super::{
    answer::{or_dash, typed, yes},
    client::Client,
    credential::{self, NewKey, Secret},
    exit::wrong,
    on_host,
    table::{self, table},
    url::escape,
    when::at,
};
use switchbox_admin_api::{ListServiceAccountsResponse, ServiceAccount};
use switchbox_model::ServiceName;

const PATH: &str = "/v1/serviceAccounts";

#[derive(Debug, Subcommand)]
pub enum Action {
    /// Create an account
    Create {
        name: String,
        /// A topic filter that it may publish to; may be repeated
        #[arg(long = "publish", value_name = "FILTER")]
        publish: Vec<String>,
        /// A topic filter that it may subscribe to, such as registries/default/devices/+/events/#; may be repeated
        #[arg(long = "subscribe", value_name = "FILTER")]
        subscribe: Vec<String>,
        #[command(flatten)]
        key: NewKey,
    },
    /// List all accounts
    List,
    /// Show one account
    Get { name: String },
    /// Change the given fields; each list replaces the existing one, and the account's connections end
    Update {
        name: String,
        /// A topic filter that it may publish to; may be repeated
        #[arg(long = "publish", value_name = "FILTER")]
        publish: Vec<String>,
        /// A topic filter that it may subscribe to; may be repeated
        #[arg(long = "subscribe", value_name = "FILTER")]
        subscribe: Vec<String>,
        /// Disable it, or enable it again
        #[arg(long, value_name = "true|false")]
        disabled: Option<bool>,
    },
    /// Delete an account; its connections end at once
    Delete { name: String },
    /// The public keys and certificates of the account
    #[command(subcommand)]
    Credential(credential::Action),
    /// Give the account a password, generated here or read from standard input
    Password {
        name: String,
        #[command(flatten)]
        secret: Secret,
    },
}

fn path(name: &str, rest: &str) -> anyhow::Result<String> {
    Ok(escape(&format!("{PATH}/{}{rest}", ServiceName::new(name)?)))
}

impl on_host::Action for Action {
    fn run(&self, client: &Client) -> anyhow::Result<(Value, String)> {
        match self {
            Self::Create { name, publish, subscribe, key } => {
                let key = key.make(ServiceName::new(name)?.as_str())?;
                let body = ServiceAccount {
                    id: Some(name.clone()),
                    publish: publish.clone(),
                    subscribe: subscribe.clone(),
                    credentials: key.iter().flat_map(|key| key.credentials.clone()).collect(),
                    ..ServiceAccount::default()
                };
                let answer = client.post(PATH, &body);
                if let (Err(_), Some(key)) = (&answer, &key) {
                    key.forget();
                }
                let text =
                    format!("service account {name} is made; it connects with the user name serviceAccounts/{name}");
                let made = key.as_ref().and_then(|key| key.made.as_ref());
                let how = made.map_or_else(String::new, |path| {
                    let path = path.display();
                    format!(
                        ", and as its password\n\n  switchbox device token --key {path} --audience serviceAccounts/{name}"
                    )
                });
                Ok((answer?, format!("{text}{how}")))
            }
            Self::List => {
                let answer = client.all(PATH, "serviceAccounts")?;
                let accounts: ListServiceAccountsResponse = typed(&answer)?;
                let rows: Vec<_> = accounts.service_accounts.into_iter().map(row).collect();
                let text = table(&["ACCOUNT", "PUBLISH", "SUBSCRIBE"], &rows);
                Ok((answer, text))
            }
            Self::Get { name } => {
                let answer = client.get(&path(name, "")?)?;
                let text = details(typed(&answer)?);
                Ok((answer, text))
            }
            Self::Update { name, publish, subscribe, disabled } => {
                let (body, mask) = update(publish, subscribe, *disabled)?;
                let answer = client.patch(&format!("{}?updateMask={mask}", path(name, "")?), &body)?;
                Ok((answer, format!("service account {name} is changed")))
            }
            Self::Delete { name } => {
                Ok((client.delete(&path(name, "")?)?, format!("service account {name} is deleted")))
            }
            Self::Credential(action) => action.run(client, "service", &|name| path(name, "")),
            Self::Password { name, secret } => secret.set(client, name, &path(name, ":setPassword")?),
        }
    }
}

/// The fields to change, and the mask that names them.
fn update(publish: &[String], subscribe: &[String], disabled: Option<bool>) -> anyhow::Result<(Value, String)> {
    let mut body = Map::new();
    for (field, list) in [("publish", publish), ("subscribe", subscribe)] {
        if !list.is_empty() {
            body.insert(field.into(), list.into());
        }
    }
    body.extend(disabled.map(|disabled| ("disabled".to_owned(), disabled.into())));
    let mask = body.keys().cloned().collect::<Vec<_>>().join(",");
    if mask.is_empty() {
        return Err(wrong("nothing to change is given: use --publish, --subscribe or --disabled"));
    }
    Ok((body.into(), mask))
}

fn details(account: ServiceAccount) -> String {
    let pair = |name: &str, value: String| vec![name.to_owned(), value];
    let mut rows = vec![pair("account", or_dash(account.id)), pair("made", at(or_dash(account.create_time)))];
    rows.push(pair("disabled", yes(account.disabled)));
    rows.extend(account.publish.into_iter().map(|filter| pair("publish", filter)));
    rows.extend(account.subscribe.into_iter().map(|filter| pair("subscribe", filter)));
    for (number, one) in (1..).zip(&account.credentials) {
        rows.push(pair(&format!("credential {number}"), credential::described(one)));
    }
    if account.has_password == Some(true) {
        rows.push(pair("password", "set".to_owned()));
    }
    table::details(&rows)
}

fn row(account: ServiceAccount) -> Vec<String> {
    vec![account.id.unwrap_or_default(), account.publish.join(" "), account.subscribe.join(" ")]
}
