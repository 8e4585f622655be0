//! Which threads a socket wakes: those that made it, until it is moved here. Else every byte for the background would wake a
//! thread of the foreground first.

use std::{io, os::fd::AsFd as _};

use tokio::net::{TcpListener, TcpStream};

/// The caller's threads are woken by it from now on.
pub fn move_listener_here(listener: TcpListener) -> io::Result<TcpListener> {
    TcpListener::from_std(listener.into_std()?)
}

/// The same for a stream. Pending reads wake its task too.
pub fn move_stream_here(stream: &mut TcpStream) -> io::Result<()> {
    let same = std::net::TcpStream::from(stream.as_fd().try_clone_to_owned()?);
    *stream = TcpStream::from_std(same)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        runtime::Builder,
    };

    use super::*;

    #[test]
    fn a_stream_works_on_the_runtime_that_it_is_moved_to() {
        let first = Builder::new_current_thread().enable_all().build().unwrap();
        let (mut client, mut served) = first.block_on(async {
            let listener = move_listener_here(TcpListener::bind("127.0.0.1:0").await.unwrap()).unwrap();
            let client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            (client, listener.accept().await.unwrap().0)
        });
        std::io::Write::write_all(&mut client, b"before").unwrap();
        let second = Builder::new_current_thread().enable_all().build().unwrap();
        second.block_on(async { move_stream_here(&mut served) }).unwrap();
        drop(first);
        let mut read = [0; 6];
        second.block_on(served.read_exact(&mut read)).unwrap();
        assert_eq!(&read, b"before");
        second.block_on(served.write_all(b"after")).unwrap();
    }
}
