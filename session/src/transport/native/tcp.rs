//! Datagrams over TCP, each behind its length (RFC 4571): the way to a server where no UDP comes through.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::net::TcpStream;

/// How long a server may take to take the connection.
const CONNECT: Duration = Duration::from_secs(5);

/// Bytes that may wait for the network: what comes on top is lost, as on a network that is full. Six seconds of a voice, and far more than the window
/// of a data channel.
const WAITING: usize = 32 << 10;

/// Longer than what a server sends, which keeps to an MTU of 1,500. Who announces more speaks something else.
const LONGEST: usize = 2048;

/// A connection that carries datagrams.
pub(super) struct Framed {
    pub(super) local: SocketAddr,
    pub(super) remote: SocketAddr,
    stream: TcpStream,
    /// What has come and was not taken.
    incoming: Vec<u8>,
    /// What the network has not taken, from the middle of a frame perhaps.
    outgoing: Vec<u8>,
}

impl Framed {
    pub(super) async fn connect(remote: SocketAddr) -> io::Result<Self> {
        let stream = tokio::time::timeout(CONNECT, TcpStream::connect(remote)).await??;
        stream.set_nodelay(true)?;
        Ok(Self {
            local: stream.local_addr()?,
            remote,
            stream,
            incoming: Vec::new(),
            outgoing: Vec::new(),
        })
    }

    /// Ready when something may have come, or what waits may go.
    pub(super) fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        let readable = self.stream.poll_read_ready(cx).is_ready();
        let writable = !self.outgoing.is_empty() && self.stream.poll_write_ready(cx).is_ready();
        match readable || writable {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    }

    /// The next datagram; `None` if no whole one is there. An error is the end of the connection.
    pub(super) fn receive(&mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            if let Some(datagram) = take_frame(&mut self.incoming)? {
                return Ok(Some(datagram));
            }
            let mut buffer = [0; LONGEST];
            match self.stream.try_read(&mut buffer) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(len) => self.incoming.extend(buffer.iter().take(len)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
                Err(error) => return Err(error),
            }
        }
    }

    /// Sends a datagram, or loses it. A broken connection is noticed when it is read.
    pub(super) fn send(&mut self, datagram: &[u8]) {
        let Ok(len) = u16::try_from(datagram.len()) else {
            return;
        };
        if self.outgoing.len() + datagram.len() > WAITING {
            return;
        }
        self.outgoing.extend(len.to_be_bytes());
        self.outgoing.extend(datagram);
        self.flush();
    }

    /// Sends what waits, as far as the network takes it.
    pub(super) fn flush(&mut self) {
        while !self.outgoing.is_empty() {
            match self.stream.try_write(&self.outgoing) {
                Ok(len) => drop(self.outgoing.drain(..len.min(self.outgoing.len()))),
                Err(_) => return,
            }
        }
    }
}

/// Takes the first whole frame's datagram.
fn take_frame(bytes: &mut Vec<u8>) -> io::Result<Option<Vec<u8>>> {
    let Some(len) = bytes.first_chunk::<2>() else {
        return Ok(None);
    };
    let len = usize::from(u16::from_be_bytes(*len));
    if len > LONGEST {
        return Err(io::Error::new(
            ErrorKind::InvalidData,
            format!("a frame of {len} bytes: these are no datagrams"),
        ));
    }
    if bytes.len() < 2 + len {
        return Ok(None);
    }
    let datagram = bytes.drain(..2 + len).skip(2).collect();
    Ok(Some(datagram))
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    async fn pair() -> (Framed, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let (ours, theirs) = tokio::join!(Framed::connect(address), listener.accept());
        (ours.expect("connected"), theirs.expect("accepted").0)
    }

    async fn next(framed: &mut Framed) -> io::Result<Vec<u8>> {
        loop {
            if let Some(datagram) = framed.receive()? {
                return Ok(datagram);
            }
            std::future::poll_fn(|cx| framed.poll_ready(cx)).await;
        }
    }

    #[tokio::test]
    async fn datagrams_come_whole_however_the_stream_is_cut() {
        let (mut ours, mut theirs) = pair().await;
        let sender = tokio::spawn(async move {
            theirs.set_nodelay(true).expect("a socket");
            for byte in [0, 3, b'o', b'n', b'e', 0, 0, 0, 3, b't', b'w', b'o'] {
                theirs.write_all(&[byte]).await.expect("open");
                tokio::task::yield_now().await;
            }
            theirs.write_all(&[0, 1, b'x', 0, 1, b'y', 0, 9]).await
        });
        for expected in ["one", "", "two", "x", "y"] {
            let datagram = next(&mut ours).await.expect("open");
            assert_eq!(datagram, expected.as_bytes());
        }
        sender.await.expect("whole").expect("sent");
        let end = next(&mut ours).await.expect_err("it closed in mid-frame");
        assert_eq!(end.kind(), ErrorKind::UnexpectedEof);
    }

    #[tokio::test]
    async fn what_is_no_datagram_ends_the_connection() {
        let (mut ours, mut theirs) = pair().await;
        theirs
            .write_all(b"HTTP/1.1 400 Bad Request")
            .await
            .expect("open");
        let end = next(&mut ours).await.expect_err("no frame is so long");
        assert_eq!(end.kind(), ErrorKind::InvalidData);
    }

    #[tokio::test]
    async fn a_full_network_loses_whole_datagrams() {
        let (mut ours, mut theirs) = pair().await;
        // Far more than the buffers of both sockets.
        let sent = 20_000_u32;
        for number in 0..sent {
            let mut datagram = vec![0; 1200];
            datagram[..4].copy_from_slice(&number.to_be_bytes());
            ours.send(&datagram);
            assert!(ours.outgoing.len() <= WAITING + 2 * 1200);
        }
        let reader = tokio::spawn(async move {
            let mut numbers = Vec::new();
            let mut frame = [0; 1202];
            while theirs.read_exact(&mut frame).await.is_ok() {
                assert_eq!(frame[..2], 1200_u16.to_be_bytes());
                let number = frame[2..6].try_into().expect("four bytes");
                numbers.push(u32::from_be_bytes(number));
            }
            numbers
        });
        while !ours.outgoing.is_empty() {
            std::future::poll_fn(|cx| ours.poll_ready(cx)).await;
            ours.flush();
        }
        drop(ours);
        let numbers = reader.await.expect("whole frames");
        assert!(numbers.len() < sent as usize, "nothing was lost");
        assert!(
            numbers.len() > 20 && numbers.is_sorted(),
            "{}",
            numbers.len()
        );
    }
}
