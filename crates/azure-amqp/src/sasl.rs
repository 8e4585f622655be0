//! SASL, which precedes the AMQP connection: ANONYMOUS, after which the client sends a token to `$cbs`, and PLAIN with a policy's
//! name and key, or with a token. It is implemented here because the AMQP library's acceptor has no asynchronous check of credentials. Azure's SDK
//! for Node skips SASL.

use std::io;

use fe2o3_amqp_types::{
    primitives::{Array, Symbol},
    sasl::{SaslCode, SaslInit, SaslMechanisms, SaslOutcome},
};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

const HEADER: [u8; 8] = *b"AMQP\x03\x01\x00\x00";
/// The first bytes of a client that skips SASL.
pub(crate) const AMQP_HEADER: [u8; 8] = *b"AMQP\x00\x01\x00\x00";
/// Size, offset of the body in words, type, and two bytes that SASL does not use.
const FRAME_HEADER: usize = 8;
/// Longest SASL frame: it has room for a name and a token.
const FRAME_BYTES: usize = 4 * 1024;

/// The credentials of SASL PLAIN.
pub(crate) struct PlainCredentials {
    pub(crate) user: String,
    pub(crate) password: String,
}

/// The first bytes of a client.
pub(crate) enum SaslClient {
    /// The client skipped SASL and has sent the AMQP header.
    NoSasl,
    Anonymous,
    Plain(PlainCredentials),
}

/// Reads the client's mechanism and credentials. The caller answers with [`send_outcome`].
pub(crate) async fn negotiate(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> io::Result<SaslClient> {
    let mut header = [0; 8];
    stream.read_exact(&mut header).await?;
    if header == AMQP_HEADER {
        return Ok(SaslClient::NoSasl);
    }
    stream.write_all(&HEADER).await?;
    if header != HEADER {
        // The header tells the client which protocol this endpoint speaks.
        stream.flush().await?;
        return Err(invalid("the client does not begin with a header of AMQP 1.0"));
    }
    let mechanisms = ["ANONYMOUS", "PLAIN", "MSSBCBS"].map(Symbol::from).to_vec();
    write(stream, &SaslMechanisms { sasl_server_mechanisms: Array(mechanisms) }).await?;
    let init: SaslInit = serde_amqp::from_slice(&read(stream).await?).map_err(|error| invalid(error.to_string()))?;
    match init.mechanism.as_str() {
        "ANONYMOUS" | "MSSBCBS" => Ok(SaslClient::Anonymous),
        "PLAIN" => {
            let response = init.initial_response.as_ref().map(|response| response.to_vec()).unwrap_or_default();
            plain_credentials(&response)
                .map(SaslClient::Plain)
                .ok_or_else(|| invalid("PLAIN without a user name and a password"))
        }
        other => {
            Err(invalid(format!("the mechanism {:?} is not supported", other.chars().take(40).collect::<String>())))
        }
    }
}

/// Sends the outcome of SASL.
pub(crate) async fn send_outcome(stream: &mut (impl AsyncWrite + Unpin), admitted: bool) -> io::Result<()> {
    let code = if admitted { SaslCode::Ok } else { SaslCode::Auth };
    write(stream, &SaslOutcome { code, additional_data: None }).await
}

fn plain_credentials(response: &[u8]) -> Option<PlainCredentials> {
    let mut parts = std::str::from_utf8(response).ok()?.split('\0').skip(1);
    Some(PlainCredentials { user: parts.next()?.to_owned(), password: parts.next()?.to_owned() })
}

async fn read(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    let size = usize::try_from(stream.read_u32().await?).unwrap_or(usize::MAX);
    if !(FRAME_HEADER..=FRAME_BYTES).contains(&size) {
        return Err(invalid(format!("a SASL frame has {FRAME_HEADER} to {FRAME_BYTES} bytes, not {size}")));
    }
    let mut rest = vec![0; size - 4];
    stream.read_exact(&mut rest).await?;
    let offset = rest.first().map_or(0, |words| usize::from(*words) * 4);
    let body = offset.checked_sub(4).and_then(|after| rest.get(after..)).filter(|_| offset >= FRAME_HEADER);
    match (rest.get(1), body) {
        (Some(1), Some(body)) => Ok(body.to_vec()),
        _ => Err(invalid("this is not a SASL frame")),
    }
}

async fn write<T: serde::Serialize>(stream: &mut (impl AsyncWrite + Unpin), body: &T) -> io::Result<()> {
    let body = serde_amqp::to_vec(body).map_err(|error| invalid(error.to_string()))?;
    let size = u32::try_from(FRAME_HEADER + body.len()).map_err(|error| invalid(error.to_string()))?;
    let mut frame = size.to_be_bytes().to_vec();
    frame.extend([2, 1, 0, 0]);
    frame.extend(body);
    stream.write_all(&frame).await?;
    stream.flush().await
}

fn invalid(text: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text.into())
}

#[cfg(test)]
mod tests {
    use fe2o3_amqp_types::primitives::Binary;

    use super::*;

    async fn begun(bytes: &[u8]) -> io::Result<SaslClient> {
        let (mut client, mut host) = tokio::io::duplex(64 * 1024);
        client.write_all(bytes).await.unwrap();
        client.shutdown().await.unwrap();
        negotiate(&mut host).await
    }

    async fn with_init(mechanism: &str, response: &[u8]) -> io::Result<SaslClient> {
        let init = SaslInit {
            mechanism: Symbol::from(mechanism),
            initial_response: Some(Binary::from(response.to_vec())),
            hostname: None,
        };
        let mut bytes = HEADER.to_vec();
        write(&mut bytes, &init).await.unwrap();
        begun(&bytes).await
    }

    #[tokio::test]
    async fn a_client_shows_nothing_or_a_policy_with_its_key() {
        assert!(matches!(with_init("ANONYMOUS", b"").await, Ok(SaslClient::Anonymous)));
        let Ok(SaslClient::Plain(plain)) = with_init("PLAIN", b"\0service\0secret").await else { panic!() };
        assert_eq!((plain.user.as_str(), plain.password.as_str()), ("service", "secret"));
        assert!(matches!(begun(&AMQP_HEADER).await, Ok(SaslClient::NoSasl)));
        assert!(with_init("PLAIN", b"service").await.is_err());
        assert!(with_init("SCRAM-SHA-256", b"").await.is_err());
    }

    #[tokio::test]
    async fn what_is_no_sasl_is_refused() {
        for bytes in [
            &b"AMQP\x00\x09\x01\x00"[..],
            b"GET / HTTP/1.1\r\n\r\n",
            b"AMQP\x03\x01\x00\x00\xff\xff\xff\xff",
            b"AMQP\x03\x01\x00\x00\x00\x00\x00\x00",
            b"AMQP\x03\x01\x00\x00\x00\x00\x00\x08\x02\x00\x00\x00",
            b"AMQP\x03\x01\x00\x00\x00\x00\x00\x09\xff\x01\x00\x00\x00",
            b"AMQP",
        ] {
            assert!(begun(bytes).await.is_err(), "{bytes:?}");
        }
    }
}
