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
    /// Create a token and print it; it is shown only once
    Create {
        /// Its name in the audit log
        #[arg(long, value_name = "NAME")]
        name: String,
        /// read: read everything; operate: also send to devices; admin: also change anything
        #[arg(long, value_name = "SCOPE", value_parser = ["read", "operate", "admin"])]
        scope: String,
    },
    /// List all tokens except the host's own
    List,
    /// Delete a token; calls with it are refused from then on
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
