//! Sends spans to a collector by OTLP over HTTP, as Protobuf, in batches. What the collector does not take is dropped and counted: nothing
//! is sent twice.

use std::{sync::Arc, time::Duration};

use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

use switchbox_settings::{Settings, Tracing};
use switchbox_support::{clock, log_limit::SiteLimit};
use switchbox_telemetry::{Batch, SpanQueue, Tracer};

/// How long one request may take.
const TIMEOUT: Duration = Duration::from_secs(5);
/// How long the last one may take when the host stops.
const LAST: Duration = Duration::from_millis(800);
/// Lines a minute about a collector that accepts nothing.
const LOGGED: u32 = 1;
/// Lines of the file of headers.
const HEADERS: usize = 32;

/// Why there can be no traces.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("tracing.headers-file: {path} cannot be read")]
    Unreadable { path: String, source: std::io::Error },
    #[error("tracing.headers-file: {path}: {problem}")]
    Headers { path: String, problem: String },
    #[error("the system gives no random numbers: {0}")]
    Random(getrandom::Error),
}

/// The tracer, and the exporter of its spans. Returns `None` for the exporter if there are to be no traces.
pub fn start(settings: &Settings) -> Result<(Tracer, Option<Exporter>), Error> {
    let Some(Tracing { endpoint, sampled_of_million, headers }) = &settings.tracing else {
        return Ok((Tracer::default(), None));
    };
    let headers = headers.as_ref().map(|path| {
        let text = std::fs::read_to_string(path);
        let path = path.display().to_string();
        let text = text.map_err(|source| Error::Unreadable { path: path.clone(), source })?;
        read_headers(&text).map_err(|problem| Error::Headers { path, problem })
    });
    let headers = headers.transpose()?.unwrap_or_default();
    let mut key = [0; 8];
    getrandom::fill(&mut key).map_err(Error::Random)?;
    let (tracer, spans) = Tracer::new(f64::from(*sampled_of_million) / 1e6, u64::from_ne_bytes(key), clock::now_us);
    let target = Arc::new(Target { agent: agent(), endpoint: endpoint.clone(), headers });
    Ok((tracer, Some(Exporter { spans, target, failures_logged: SiteLimit::new(LOGGED) })))
}

/// Where spans go.
struct Target {
    agent: ureq::Agent,
    /// The collector's URL, without the path of traces.
    endpoint: String,
    headers: Vec<(String, String)>,
}

/// Sends the spans that wait in the queue.
pub struct Exporter {
    spans: SpanQueue,
    target: Arc<Target>,
    failures_logged: SiteLimit,
}

impl Exporter {
    /// Runs until the shutdown; queued spans are then sent in one last request with a short deadline.
    pub async fn run(mut self, shutdown: CancellationToken) {
        loop {
            let batch = self.spans.next(&shutdown).await;
            if shutdown.is_cancelled() {
                let _ = tokio::time::timeout(LAST, self.send(batch)).await;
                return;
            }
            self.send(batch).await;
        }
    }

    async fn send(&mut self, batch: Batch) {
        let count = batch.count();
        if count == 0 {
            return;
        }
        let target = self.target.clone();
        let problem = match spawn_blocking(move || target.post(&batch)).await {
            Ok(Ok(())) => return self.spans.sent(count),
            Ok(Err(problem)) => problem,
            Err(panicked) => panicked.to_string(),
        };
        self.spans.dropped(count);
        if let Some(more) = self.failures_logged.allow() {
            let endpoint = &self.target.endpoint;
            tracing::warn!(
                endpoint,
                spans = count,
                "spans were dropped, because the collector did not accept them: {problem}{more}"
            );
        }
    }
}

impl Target {
    fn post(&self, batch: &Batch) -> Result<(), String> {
        let url = format!("{}/v1/traces", self.endpoint.trim_end_matches('/'));
        let mut request = self.agent.post(url).header("content-type", "application/x-protobuf");
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let answer = request.send(&batch.protobuf()).map_err(|error| error.to_string())?;
        // A redirect is not an error for the client, but nothing was accepted.
        if answer.status().is_success() { Ok(()) } else { Err(format!("it answered {}", answer.status())) }
    }
}

fn agent() -> ureq::Agent {
    let own = rustls_native_certs::load_native_certs().certs;
    let authorities = own.iter().map(|certificate| Certificate::from_der(certificate).to_owned()).collect::<Vec<_>>();
    let tls = TlsConfig::builder()
        .root_certs(RootCerts::Specific(Arc::new(authorities)))
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .build();
    let config =
        ureq::Agent::config_builder().tls_config(tls).timeout_global(Some(TIMEOUT)).max_redirects(0).proxy(None);
    ureq::Agent::new_with_config(config.build())
}

/// One a line, as HTTP writes them. An error never shows a value.
fn read_headers(text: &str) -> Result<Vec<(String, String)>, String> {
    let lines: Vec<_> = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    if lines.len() > HEADERS {
        return Err(format!("more than {HEADERS} headers"));
    }
    let is_name =
        |name: &str| !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
    let is_value = |value: &str| value.bytes().all(|b| (b' '..=b'~').contains(&b));
    let read = |line: &str| {
        let (name, value) = line.split_once(':')?;
        let (name, value) = (name.trim(), value.trim());
        (is_name(name) && is_value(value)).then(|| (name.to_owned(), value.to_owned()))
    };
    let found = lines
        .iter()
        .enumerate()
        .map(|(at, line)| read(line).ok_or_else(|| format!("line {} is not `Name: value`", at + 1)));
    found.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_read_line_by_line_and_an_error_shows_no_value() {
        let text = "# of the collector\nAuthorization: Bearer a:b\n\n x-tenant:7 \n";
        let expected = [("Authorization", "Bearer a:b"), ("x-tenant", "7")];
        assert_eq!(read_headers(text).unwrap(), expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
        for wrong in ["secret", "a b: secret", ": secret", "a: secret\u{7}"] {
            let error = read_headers(wrong).unwrap_err();
            assert!(error.contains("line 1") && !error.contains("secret"), "{error}");
        }
    }
}
