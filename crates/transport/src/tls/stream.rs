//! One encrypted connection, read and written without waiting, like a `TcpStream` with `try_read` and `try_write`.

use std::{
    io::{self, ErrorKind, IoSlice, Read, Write},
    sync::Arc,
};

use rustls::{ServerConfig, ServerConnection, pki_types::CertificateDer};
use tokio::{io::Interest, net::TcpStream};

use super::handshake_limit::HandshakePermits;

/// How many records without any content are read in a row. Then other connections are served first.
const EMPTY_READS: usize = 16;

pub struct Stream {
    tcp: TcpStream,
    tls: Box<ServerConnection>,
    /// Decrypted bytes that wait to be read.
    waiting: usize,
}

/// The socket, for the TLS library.
struct Wire<'a>(&'a TcpStream);

impl Read for Wire<'_> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(to)
    }
}

impl Write for Wire<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.try_write_vectored(slices)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn is_blocked<T>(result: &io::Result<T>) -> bool {
    result.as_ref().is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
}

impl Stream {
    /// Does the handshake; the caller limits its time.
    pub(super) async fn accept(
        tcp: TcpStream,
        config: Arc<ServerConfig>,
        permits: &HandshakePermits,
    ) -> io::Result<Self> {
        let tls = Box::new(ServerConnection::new(config).map_err(io::Error::other)?);
        let mut stream = Self { tcp, tls, waiting: 0 };
        while stream.tls.is_handshaking() {
            let written = stream.try_flush()?;
            let interest = match (stream.tls.wants_read(), written) {
                (true, true) => Interest::READABLE,
                (true, false) => Interest::READABLE | Interest::WRITABLE,
                (false, _) => Interest::WRITABLE,
            };
            let ready = stream.tcp.ready(interest).await?;
            if ready.is_readable() && stream.tls.wants_read() {
                // Never held while the client is waited for.
                let permit = permits.take().await;
                let received = stream.receive();
                drop(permit);
                if !is_blocked(&received) {
                    received?;
                }
            }
        }
        // In TLS 1.2 the last word is the server's, and the client waits for it.
        while !stream.try_flush()? {
            stream.tcp.ready(Interest::WRITABLE).await?;
        }
        Ok(stream)
    }

    /// The client's certificate and those below its authority; empty when it showed none.
    #[must_use]
    pub fn peer_certificates(&self) -> &[CertificateDer<'static>] {
        self.tls.peer_certificates().unwrap_or_default()
    }

    /// The host name that the client called (SNI). `None` if it called an address.
    #[must_use]
    pub fn server_name(&self) -> Option<&str> {
        self.tls.server_name()
    }

    #[must_use]
    pub fn tcp(&self) -> &TcpStream {
        &self.tcp
    }

    pub fn tcp_mut(&mut self) -> &mut TcpStream {
        &mut self.tcp
    }

    /// Whether decrypted bytes wait to be read, although the socket may have none.
    #[must_use]
    pub fn is_read_ahead(&self) -> bool {
        self.waiting > 0
    }

    /// 0 = the end.
    pub fn try_read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        for _ in 0..EMPTY_READS {
            if self.waiting > 0 {
                let length = self.tls.reader().read(to)?;
                self.waiting = self.waiting.saturating_sub(length);
                return Ok(length);
            }
            if self.receive()? {
                return Ok(0);
            }
        }
        // The socket still counts as readable, so reading continues after other tasks have run.
        Err(ErrorKind::WouldBlock.into())
    }

    /// Reads what the socket has and decrypts it; true = the end.
    fn receive(&mut self) -> io::Result<bool> {
        let ended = self.tls.read_tls(&mut Wire(&self.tcp))? == 0;
        let state = match self.tls.process_new_packets() {
            Ok(state) => state,
            Err(error) => {
                // The alert names the error. The client need not read it, so there is no wait.
                let _ = self.try_flush();
                return Err(io::Error::new(ErrorKind::InvalidData, error));
            }
        };
        self.waiting = state.plaintext_bytes_to_read();
        if ended && self.tls.is_handshaking() {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        Ok(self.waiting == 0 && (ended || state.peer_has_closed()))
    }

    /// Takes no more bytes while some that it took wait for the socket.
    pub fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !self.try_flush()? {
            return Err(ErrorKind::WouldBlock.into());
        }
        let length = self.tls.writer().write(bytes)?;
        self.try_flush()?;
        Ok(length)
    }

    /// Returns true when the socket has all bytes that were taken.
    pub fn try_flush(&mut self) -> io::Result<bool> {
        while self.tls.wants_write() {
            let written = self.tls.write_tls(&mut Wire(&self.tcp));
            if is_blocked(&written) {
                return Ok(false);
            }
            if written? == 0 {
                return Err(ErrorKind::WriteZero.into());
            }
        }
        Ok(true)
    }

    #[must_use]
    pub fn is_flushed(&self) -> bool {
        !self.tls.wants_write()
    }

    /// Says that nothing more will come.
    pub fn close(&mut self) {
        self.tls.send_close_notify();
        let _ = self.try_flush();
    }
}
