//! A connection to a node that passed the handshake, as ractor_cluster takes it over.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use futures_util::task::AtomicWaker;
use ractor_cluster::{BoxRead, BoxWrite, ClusterBidiStream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes to and from a node.
pub(super) trait Wire: AsyncRead + AsyncWrite + Unpin + Send + 'static {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Wire for S {}

/// A connection that can be ended from outside: the library notices only what the connection itself tells.
pub(super) struct Link {
    wire: Box<dyn Wire>,
    label: String,
    cut: CancellationToken,
}

impl Link {
    pub(super) fn new(wire: Box<dyn Wire>, label: String) -> Self {
        Self {
            wire,
            label,
            cut: CancellationToken::default(),
        }
    }

    /// Names this connection among all that this node ever had.
    pub(super) fn label(&self) -> &str {
        &self.label
    }

    /// Ends it, whoever has it.
    pub(super) fn cut(&self) -> CancellationToken {
        self.cut.clone()
    }
}

impl ClusterBidiStream for Link {
    fn split(self: Box<Self>) -> (BoxRead, BoxWrite) {
        let (reader, writer) = tokio::io::split(self.wire);
        let reader = Reader {
            inner: reader,
            cut: self.cut.clone(),
        };
        let writer = Writer {
            inner: writer,
            cut: self.cut,
        };
        (Box::new(reader), Box::new(writer))
    }

    fn peer_label(&self) -> Option<String> {
        Some(self.label.clone())
    }
}

/// Ends a connection when told to.
#[derive(Clone, Default)]
pub(super) struct CancellationToken(Arc<CancellationState>);

#[derive(Default)]
struct CancellationState {
    done: AtomicBool,
    reader: AtomicWaker,
    writer: AtomicWaker,
}

impl CancellationToken {
    /// Reading ends and writing fails from now on.
    pub(super) fn now(&self) {
        self.0.done.store(true, Ordering::SeqCst);
        self.0.reader.wake();
        self.0.writer.wake();
    }

    fn is_done(&self, waker: &AtomicWaker, context: &Context<'_>) -> bool {
        waker.register(context.waker());
        self.0.done.load(Ordering::SeqCst)
    }
}

struct Reader<R> {
    inner: R,
    cut: CancellationToken,
}

impl<R: AsyncRead + Unpin> AsyncRead for Reader<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.cut.is_done(&self.cut.0.reader, context) {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.inner).poll_read(context, buffer)
    }
}

struct Writer<W> {
    inner: W,
    cut: CancellationToken,
}

impl<W> Writer<W> {
    fn check(&self, context: &Context<'_>) -> io::Result<()> {
        match self.cut.is_done(&self.cut.0.writer, context) {
            true => Err(io::ErrorKind::ConnectionAborted.into()),
            false => Ok(()),
        }
    }
}

impl<W: AsyncWrite + Unpin> AsyncWrite for Writer<W> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check(context)?;
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check(context)?;
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn a_connection_that_is_cut_ends_for_a_reader_and_a_writer_that_already_wait() {
        let (near, _far) = tokio::io::duplex(16);
        let link = Box::new(Link::new(Box::new(near), "a#1".to_owned()));
        assert_eq!(link.label(), "a#1");
        let cut = link.cut();
        let (mut reader, mut writer) = link.split();
        let reading = tokio::spawn(async move { reader.read(&mut [0; 8]).await });
        let writing = tokio::spawn(async move { writer.write_all(&[0; 64]).await });
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(
            !reading.is_finished() && !writing.is_finished(),
            "both wait"
        );
        cut.now();
        let soon = Duration::from_secs(2);
        let read = tokio::time::timeout(soon, reading).await.unwrap().unwrap();
        assert_eq!(read.unwrap(), 0);
        let wrote = tokio::time::timeout(soon, writing).await.unwrap().unwrap();
        wrote.unwrap_err();
    }
}
