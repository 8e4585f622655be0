//! The settings of traces, which are checked together: a collector that gets secret headers is not called where others can read them.

use super::{Key, Tracing, value::Check};

impl Check<'_> {
    /// Returns `Ok(None)` if there are no traces, and `Err` if a setting is wrong.
    pub(super) fn tracing(&mut self) -> Result<Option<Tracing>, ()> {
        let ratio = self.ratio(Key::TracingSampleRatio);
        let endpoint = self.text(Key::TracingOtlpEndpoint).to_owned();
        let headers = Some(self.text(Key::TracingHeadersFile)).filter(|path| !path.is_empty()).map(Into::into);
        if endpoint.is_empty() {
            return ratio.map(|_| None).ok_or(());
        }
        let host = endpoint.strip_prefix("https://").map(|host| (host, true));
        let Some((host, secret)) = host.or_else(|| endpoint.strip_prefix("http://").map(|host| (host, false))) else {
            self.problem(
                Key::TracingOtlpEndpoint,
                format!("must be a URL such as http://127.0.0.1:4318, not {endpoint:?}"),
            );
            return Err(());
        };
        let name = host.split(['/', '?', '#']).next().unwrap_or_default();
        if name.is_empty() || name.contains('@') || name.bytes().any(|b| b <= b' ') {
            self.problem(Key::TracingOtlpEndpoint, format!("must name a host and nothing secret, not {endpoint:?}"));
            return Err(());
        }
        let local = ["127.", "localhost", "[::1]"].iter().any(|local| name.starts_with(local));
        if headers.is_some() && !secret && !local {
            self.problem(
                Key::TracingOtlpEndpoint,
                "must be https where headers are sent: others could read them".into(),
            );
            return Err(());
        }
        Ok(Some(Tracing { endpoint, sampled_of_million: ratio.ok_or(())?, headers }))
    }
}
