//! `switchbox device calls`: the method calls that a device got.

use serde_json::Value;

use crate::{answer::typed, client::Client, payload::readable, table::table, url::escape, when::when};
use switchbox_admin_api::{CallAnswer, Cause, ListMethodCallsResponse, MethodCall};

/// Show the method calls that a device got, the newest first, as far as the journal goes back
#[derive(Debug, clap::Args)]
pub(super) struct Calls {
    device: String,
    /// At most this many
    #[arg(long, default_value_t = 50)]
    limit: u32,
}

pub(super) fn act(client: &Client, options: &Calls) -> anyhow::Result<(Value, String)> {
    let device = client.device(&options.device)?.to_string();
    let answer = client.list(&format!("/v1/methodCalls?device={}", escape(&device)), "methodCalls", options.limit)?;
    let rows: Vec<_> = typed::<ListMethodCallsResponse>(&answer)?.method_calls.into_iter().map(row).collect();
    Ok((answer, table(&["WHEN", "METHOD", "DATA", "BY", "TOOK", "ANSWER"], &rows)))
}

fn row(call: MethodCall) -> Vec<String> {
    let MethodCall { method, payload, time, took_ms, cause, answer, error, .. } = call;
    let by = match cause {
        Cause::Api { caller } => caller,
        Cause::Plugin { name, .. } => format!("plugin {name}"),
    };
    let answered = answer.map(|CallAnswer { status, payload }| format!("{status} {}", readable(Some(&payload))));
    let end = answered.or(error).unwrap_or_default();
    let data = readable(Some(&payload));
    vec![when(time.to_string()), method, data, by, format!("{took_ms}ms"), end.trim_end().to_owned()]
}
