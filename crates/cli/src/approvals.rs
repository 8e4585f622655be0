//! `switchbox approvals`: effects of plugins that wait for an operator's approval.

use clap::Subcommand;
use serde_json::{Value, json};

use super::{
    answer::{or_dash, typed},
    client::Client,
    on_host, table,
    url::escape,
};
use switchbox_admin_api::{Approval, ListApprovalsResponse, RejectRequest};
use switchbox_dry_run::effect::EffectLine;

#[derive(Debug, Subcommand)]
pub enum Action {
    /// List them, oldest first
    List,
    /// Show one of them, with its effects
    Show { id: String },
    /// Carry out the effects
    Approve { id: String },
    /// Drop the effects; their event becomes a dead letter
    Reject {
        id: String,
        /// The reason in the dead letter
        #[arg(long)]
        reason: Option<String>,
    },
}

impl on_host::Action for Action {
    fn run(&self, client: &Client) -> anyhow::Result<(Value, String)> {
        let path = |id: &str, verb: &str| format!("/v1/approvals/{}{verb}", escape(id));
        match self {
            Self::List => {
                let answer = client.get("/v1/approvals")?;
                let text = list(typed(&answer)?);
                Ok((answer, text))
            }
            Self::Show { id } => {
                let answer = client.get(&path(id, ""))?;
                let text = shown(typed(&answer)?);
                Ok((answer, text))
            }
            Self::Approve { id } => {
                let answer = client.post(&path(id, ":approve"), &json!({}))?;
                Ok((answer, format!("the effects of {id} happen; `switchbox explain {id}` shows what they caused")))
            }
            Self::Reject { id, reason } => {
                let answer = client.post(&path(id, ":reject"), &RejectRequest { reason: reason.clone() })?;
                Ok((answer, format!("the effects of {id} are dropped, and its event is in the dead letters")))
            }
        }
    }
}

fn list(answer: ListApprovalsResponse) -> String {
    let row = |approval: Approval| {
        let Approval { id, device, since, why, targets, effect_count, .. } = approval;
        vec![id, or_dash(device), since.to_string(), targets.to_string(), effect_count.to_string(), why]
    };
    let rows: Vec<_> = answer.approvals.into_iter().map(row).collect();
    table::table(&["ID", "EVENT OF", "SINCE", "TARGETS", "EFFECTS", "WHY"], &rows)
}

fn shown(approval: Approval) -> String {
    let Approval { id, plugin, device, digest, since, why, targets, effects, effect_count, .. } = approval;
    let mut rows = vec![
        ("id", id),
        ("plugin", plugin),
        ("component", digest),
        ("event of", or_dash(device)),
        ("since", since.to_string()),
        ("why", why),
        ("targets", targets.to_string()),
        ("effects", effect_count.to_string()),
    ];
    let more = effect_count.saturating_sub(effects.len());
    for effect in effects {
        let line = serde_json::from_value::<EffectLine>(Value::Object(effect));
        rows.push(("effect", line.map(|line| line.to_text()).unwrap_or_default()));
    }
    if more > 0 {
        rows.push(("", format!("and {more} more")));
    }
    let rows: Vec<_> = rows.into_iter().map(|(name, value)| vec![name.to_owned(), value]).collect();
    table::details(&rows)
}
