//! TLS towards endpoints: trusts what the machine trusts, read when the first call needs it.

use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore, pki_types::ServerName};
use tokio::{net::TcpStream, sync::OnceCell};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::call::Error;

#[derive(Default)]
pub(super) struct Lazy(OnceCell<Arc<ClientConfig>>);

impl Lazy {
    pub(super) async fn connect(&self, host: &str, stream: TcpStream) -> Result<TlsStream<TcpStream>, Error> {
        let unreachable = |text: String| Error::Unreachable(host.to_owned(), text);
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(bare.to_owned()).map_err(|error| unreachable(error.to_string()))?;
        let config = self.0.get_or_try_init(|| async {
            let made = tokio::task::spawn_blocking(config).await.map_err(|error| unreachable(error.to_string()))?;
            made.map(Arc::new).map_err(|error| unreachable(error.to_string()))
        });
        let connector = TlsConnector::from(config.await?.clone());
        connector.connect(name, stream).await.map_err(|error| unreachable(format!("TLS: {error}")))
    }
}

/// Reads files.
fn config() -> Result<ClientConfig, rustls::Error> {
    let found = rustls_native_certs::load_native_certs();
    if found.certs.is_empty() {
        tracing::warn!(errors = ?found.errors, "this machine has no trusted certificates: no https endpoint can be called");
    }
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth())
}
