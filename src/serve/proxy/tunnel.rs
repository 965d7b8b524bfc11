//! A connection that has changed to another protocol: bytes both ways, until both sides have ended
//! or nothing moves. It keeps the client's place among the connections of the listener.

use super::exchange::Exchange;
use crate::shutdown::Tasks;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use std::{
    io,
    pin::{Pin, pin},
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf, copy_bidirectional},
    time::sleep,
};

/// How long nothing has moved when the end of the program ends a tunnel. The protocol is not ours,
/// so nobody can be asked to come to an end.
const QUIET: Duration = Duration::from_secs(1);

/// Joins the client's connection and the cluster's. Both are free once the client has got its 101.
pub(super) async fn run(client: OnUpgrade, cluster: OnUpgrade, exchange: Box<Exchange>) {
    let both = futures_util::future::try_join(client, cluster);
    match both.await {
        Ok((client, cluster)) => {
            let connection = exchange.connection();
            let (client, cluster) = (TokioIo::new(client), TokioIo::new(cluster));
            carry(client, cluster, connection.limits.idle, &connection.tasks).await;
        }
        Err(error) => tracing::debug!(%error, "a tunnel did not begin"),
    }
    drop(exchange);
}

/// Carries bytes until both sides have ended. A tunnel that carries none for `idle` ends, and so
/// does one with a side that ended so long ago: between one and two of these times.
async fn carry<A, B>(client: A, cluster: B, idle: Duration, tasks: &Tasks)
where
    A: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
    let seen = Seen::default();
    let (mut client, mut cluster) = (Seeing(client, &seen), Seeing(cluster, &seen));
    let mut copying = pin!(copy_bidirectional(&mut client, &mut cluster));
    let (mut is_ending, mut bytes, mut is_half_closed) = (false, 0, false);
    loop {
        let interval = if is_ending { QUIET.min(idle) } else { idle };
        tokio::select! {
            done = &mut copying => {
                if let Err(error) = done {
                    tracing::debug!(%error, "a tunnel was cut");
                }
                return;
            }
            () = tasks.ending(), if !is_ending => is_ending = true,
            () = sleep(interval) => {
                let now = seen.bytes.load(Relaxed);
                if now == bytes || is_half_closed {
                    tracing::debug!(is_half_closed, "ended a tunnel that carried nothing");
                    return;
                }
                bytes = now;
                is_half_closed = seen.is_half_closed.load(Relaxed);
            }
        }
    }
}

/// What a tunnel has carried.
#[derive(Default)]
struct Seen {
    bytes: AtomicU64,
    /// One side sends no more.
    is_half_closed: AtomicBool,
}

/// A side of a tunnel.
struct Seeing<'a, I>(I, &'a Seen);

impl<I: AsyncRead + Unpin> AsyncRead for Seeing<'_, I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.0).poll_read(context, buffer))?;
        if buffer.filled().len() == before {
            self.1.is_half_closed.store(true, Relaxed);
        }
        Poll::Ready(Ok(()))
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Seeing<'_, I> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.0).poll_write(context, bytes))?;
        self.1.bytes.fetch_add(written as u64, Relaxed);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex},
        task::JoinSet,
        time::timeout,
    };

    const IDLE: Duration = Duration::from_mins(2);

    struct Tunnel {
        client: DuplexStream,
        cluster: DuplexStream,
        tasks: Tasks,
        carrying: JoinSet<()>,
    }

    fn tunnel() -> Tunnel {
        let ((client, near), (far, cluster)) = (duplex(1_024), duplex(1_024));
        let tasks = Tasks::default();
        let own = tasks.clone();
        let mut carrying = JoinSet::new();
        carrying.spawn(async move { carry(near, far, IDLE, &own).await });
        Tunnel {
            client,
            cluster,
            tasks,
            carrying,
        }
    }

    impl Tunnel {
        /// Sends a byte to the client in each half of the time, so often.
        async fn moves(&mut self, times: usize) -> io::Result<()> {
            for _ in 0..times {
                self.cluster.write_u8(b'x').await?;
                self.client.read_u8().await?;
                sleep(IDLE / 2).await;
            }
            Ok(())
        }

        async fn ends_within(mut self, time: Duration) -> bool {
            timeout(time, self.carrying.join_next()).await.is_ok()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_tunnel_ends_when_nothing_moves_and_not_before() {
        let mut tunnel = tunnel();
        tunnel.moves(20).await.unwrap();
        assert!(tunnel.carrying.try_join_next().is_none());
        assert!(tunnel.ends_within(IDLE * 2).await);
    }

    #[tokio::test(start_paused = true)]
    async fn the_end_of_one_side_bounds_the_other() {
        let mut tunnel = tunnel();
        tunnel.client.shutdown().await.unwrap();
        assert!(tunnel.moves(20).await.is_err());
        assert!(tunnel.ends_within(IDLE).await);
    }

    #[tokio::test(start_paused = true)]
    async fn the_end_of_the_program_ends_a_quiet_tunnel() {
        let mut tunnel = tunnel();
        tunnel.moves(1).await.unwrap();
        tunnel.tasks.end();
        assert!(tunnel.ends_within(QUIET * 3).await);
    }

    #[tokio::test(start_paused = true)]
    async fn both_ends_are_the_end() {
        let Tunnel {
            client,
            cluster,
            mut carrying,
            ..
        } = tunnel();
        drop((client, cluster));
        carrying.join_next().await.unwrap().unwrap();
    }
}
