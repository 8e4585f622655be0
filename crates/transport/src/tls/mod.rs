//! TLS 1.2 and 1.3 for all listeners: certificates from files, which are reloaded when they change, and encrypted streams. It does not
//! authenticate clients; it says which certificate the client holds the key of.

mod handshake_limit;
mod names;
mod stream;
mod verifier;

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

use parking_lot::RwLock;
use rustls::{
    ServerConfig,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    version::{TLS12, TLS13},
};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_util::sync::CancellationToken;

pub use self::stream::Stream;
use self::{handshake_limit::HandshakePermits, verifier::Possession};
use switchbox_settings::TlsFiles;

/// How often the files are checked.
const LOOK_EVERY: Duration = Duration::from_secs(1);

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{path}: {problem}")]
    File { path: String, problem: String },
    #[error("the certificate {path} cannot be used: {problem}")]
    Certificate { path: String, problem: String },
}

/// What was read from the files together.
struct Loaded {
    mqtt: Arc<ServerConfig>,
    web: Arc<ServerConfig>,
    authorities: Arc<[CertificateDer<'static>]>,
    names: Vec<String>,
}

struct Inner {
    files: TlsFiles,
    loaded: RwLock<Loaded>,
    permits: HandshakePermits,
}

/// The certificates in force. Cheap to clone.
#[derive(Clone)]
pub struct Handle(Arc<Inner>);

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("tls::Handle").field(&self.0.files).finish()
    }
}

impl Handle {
    /// Reads the files. Blocking, for a moment.
    pub fn load(files: TlsFiles) -> Result<Self, Error> {
        let loaded = RwLock::new(load(&files)?);
        Ok(Self(Arc::new(Inner { files, loaded, permits: HandshakePermits::of_half_the_cores() })))
    }

    /// Does the handshake of a device (or of a browser); the caller limits its time.
    pub async fn accept(&self, tcp: TcpStream, browser: bool) -> std::io::Result<Stream> {
        let config = if browser { self.for_web() } else { self.for_mqtt() };
        Stream::accept(tcp, config, &self.0.permits).await
    }

    /// Does the handshake of a caller over HTTP or AMQP; the caller limits its time. With `of_device` it asks for a certificate, and
    /// does without.
    pub async fn accept_call(&self, tcp: TcpStream, of_device: bool) -> std::io::Result<TlsStream<TcpStream>> {
        let config = if of_device { self.for_mqtt() } else { self.for_web() };
        self.0.permits.run(TlsAcceptor::from(config).accept(tcp)).await
    }

    /// For devices: asks for a client's certificate, and does without.
    fn for_mqtt(&self) -> Arc<ServerConfig> {
        self.0.loaded.read().mqtt.clone()
    }

    /// For browsers, which would ask their user for a certificate: asks for none.
    fn for_web(&self) -> Arc<ServerConfig> {
        self.0.loaded.read().web.clone()
    }

    /// What the host's certificate calls it: names, also with a wildcard, and addresses.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.0.loaded.read().names.clone()
    }

    /// The authorities of clients' certificates.
    #[must_use]
    pub fn client_authorities(&self) -> Arc<[CertificateDer<'static>]> {
        self.0.loaded.read().authorities.clone()
    }

    /// Reloads the files when they change. A file that cannot be used is logged once, and the previous one stays in force. `renewed` is
    /// called after each reload.
    pub async fn watch(self, shutdown: CancellationToken, renewed: impl Fn() + Send) {
        let mut seen = state(&self.0.files);
        loop {
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = shutdown.cancelled() => return,
            }
            let state = state(&self.0.files);
            if state == seen {
                continue;
            }
            seen = state;
            let files = self.0.files.clone();
            match tokio::task::spawn_blocking(move || load(&files)).await {
                Ok(Ok(loaded)) => {
                    *self.0.loaded.write() = loaded;
                    tracing::info!("the TLS certificate was reloaded");
                    renewed();
                }
                Ok(Err(error)) => {
                    tracing::error!(%error, "the TLS certificate cannot be reloaded; the previous one stays in use")
                }
                Err(_) => {}
            }
        }
    }
}

/// What changes when one of the files does: each one's time and length.
fn state(files: &TlsFiles) -> Vec<Option<(Duration, u64)>> {
    let paths = [Some(&files.certificate), Some(&files.key), files.client_authority.as_ref()];
    let state = |path: &PathBuf| {
        let found = std::fs::metadata(path).ok()?;
        Some((found.modified().ok()?.duration_since(UNIX_EPOCH).ok()?, found.len()))
    };
    paths.into_iter().flatten().map(state).collect()
}

fn load(files: &TlsFiles) -> Result<Loaded, Error> {
    let chain = certificates(&files.certificate)?;
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|e| problem(&files.key, &e))?;
    let authorities: Vec<_> = files.client_authority.as_deref().map(certificates).transpose()?.unwrap_or_default();
    for authority in &authorities {
        let usable = webpki::anchor_from_trusted_cert(authority).map(drop);
        usable.map_err(|e| problem(files.client_authority.as_deref().unwrap_or(Path::new("")), &e))?;
    }
    let names = chain.first().map(names::of).unwrap_or_default();
    let provider = Arc::new(ring::default_provider());
    let unusable =
        |e: rustls::Error| Error::Certificate { path: files.certificate.display().to_string(), problem: e.to_string() };
    let mqtt = builder(&provider).map_err(unusable)?;
    let mqtt = mqtt.with_client_cert_verifier(Arc::new(Possession::new(provider.clone())));
    let web = builder(&provider).map_err(unusable)?.with_no_client_auth();
    Ok(Loaded {
        mqtt: Arc::new(mqtt.with_single_cert(chain.clone(), key.clone_key()).map_err(unusable)?),
        web: Arc::new(web.with_single_cert(chain, key).map_err(unusable)?),
        authorities: authorities.into(),
        names,
    })
}

type Builder = rustls::ConfigBuilder<ServerConfig, rustls::WantsVerifier>;

fn builder(provider: &Arc<CryptoProvider>) -> Result<Builder, rustls::Error> {
    ServerConfig::builder_with_provider(provider.clone()).with_protocol_versions(&[&TLS13, &TLS12])
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let read = CertificateDer::pem_file_iter(path).map_err(|e| problem(path, &e))?;
    let found = read.collect::<Result<Vec<_>, _>>().map_err(|e| problem(path, &e))?;
    if found.is_empty() { Err(problem(path, &"there is no certificate in it (PEM)")) } else { Ok(found) }
}

fn problem(path: &Path, problem: &dyn fmt::Display) -> Error {
    Error::File { path: path.display().to_string(), problem: problem.to_string() }
}
