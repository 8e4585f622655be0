//! `switchbox token`: the access tokens of a running host's API.

use clap::Subcommand;
use serde_json::Value;

use super::{
    answer::{self, or_dash, typed},
    client::Client,
    on_host,
};
use switchbox_admin_api::{CreateTokenRequest, Token};

#[derive(Debug, Subcommand)]
pub enum Action {
    /// Make a token and print it; it can never be shown again
    Create {
        /// What the audit log calls it
        #[arg(long, value_name = "NAME")]
        name: String,
        /// read: look at everything; operate: also send to devices; admin: also change what is there
        #[arg(long, value_name = "SCOPE", value_parser = ["read", "operate", "admin"])]
        scope: String,
    },
    /// All tokens but the host's own
    List,
    /// Nobody gets in with it from now on
    Delete { name: String },
}

impl on_host::Action for Action {
    fn run(&self, client: &Client) -> anyhow::Result<(Value, String)> {
        match self {
            Self::Create { name, scope } => {
                let scope = typed(&scope.as_str().into())?;
                let answer = client.post("/v1/tokens", &CreateTokenRequest { name: name.clone(), scope })?;
                let text = or_dash(typed::<Token>(&answer)?.token);
                Ok((answer, text))
            }
            Self::List => {
                let answer = client.get("/v1/tokens")?;
                let text =
                    answer::list(&answer, "tokens", &[("NAME", "/name"), ("SCOPE", "/scope"), ("MADE", "/createTime")]);
                Ok((answer, text))
            }
            Self::Delete { name } => {
                let answer = client.delete(&format!("/v1/tokens/{name}"))?;
                Ok((answer, format!("token {name} is deleted")))
            }
        }
    }
}
