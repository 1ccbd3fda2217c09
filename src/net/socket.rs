//! A socket under its connection: it records when bytes come in, keeps the end of what a client sends from cutting off the answer to
//! it, and puts words into the answers that hyper gives by itself.
//!
//! The end of what a client sends may mean that it has left, or only that it has said all (`nc`, old libraries). hyper can take it for
//! one or the other, and either is wrong for somebody. So hyper is told of it only between requests. Meanwhile a client that has left
//! is found by writing to it: its system answers that with a reset, and hyper gets an error.
//!
//! Not here: what a connection does (`activity`), the words (`refused_head`).

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::http::Version;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use super::activity::{Phase, Recorder};
use super::refused_head;

/// For hyper to hand on the end of a body that came together with the end of the stream.
const BODY_ENDS_WITHIN: Duration = Duration::from_millis(20);
/// When a client that sends no more is written to. Most answers are out by then.
const PROBE_AFTER: Duration = Duration::from_millis(100);
/// What it is written: an answer before the answer, which every client of HTTP/1.1 must skip. Those of HTTP/1.0 may not get it.
const PROBE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";
/// When a client of HTTP/1.0 that sends no more counts as gone: nothing can tell.
const HTTP10_WAITS: Duration = Duration::from_secs(5);
/// Between two looks at a client that sends no more.
const LOOK_EVERY: Duration = Duration::from_millis(25);
/// What a client still sends after its head was refused is discarded, in bytes and in time: a close over unread bytes would reset
/// the connection, and the answer with it.
const DISCARDED_BYTES: usize = 1 << 20;
const DISCARDED_FOR: Duration = Duration::from_secs(1);

/// What every client of HTTP/2 says first.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A stream, and the recorder of its connection.
pub(super) struct Socket<S> {
    stream: S,
    recorder: Recorder,
    /// What is still to come of the preface of HTTP/2; None once something else has come.
    preface: Option<&'static [u8]>,
    /// What is written before anything of hyper's.
    own: Vec<u8>,
    /// hyper has more to write than the stream takes.
    blocked: bool,
    ended: Option<Ended>,
    discard: Option<Discard>,
}

/// The client sends no more.
struct Ended {
    since: Instant,
    probed: bool,
    look: Pin<Box<Sleep>>,
}

/// What is left to discard after a refusal.
struct Discard {
    bytes: usize,
    until: Pin<Box<Sleep>>,
}

/// What the end of the stream means now.
enum Meaning {
    /// hyper may know.
    End,
    /// Nobody reads the answer.
    Gone,
    /// The answer comes first.
    Wait(Duration),
}

impl<S> Socket<S> {
    pub(super) fn new(stream: S, recorder: Recorder) -> Self {
        Self { stream, recorder, preface: Some(PREFACE), own: Vec::new(), blocked: false, ended: None, discard: None }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Socket<S> {
    fn meaning(&mut self, since: Instant, cx: &mut Context<'_>) -> Meaning {
        let activity = self.recorder.now();
        let elapsed = since.elapsed();
        match activity.phase {
            _ if activity.version == Version::HTTP_2 => Meaning::End,
            Phase::Head | Phase::Idle if self.blocked || !self.own.is_empty() => Meaning::Wait(LOOK_EVERY),
            Phase::Head | Phase::Idle => Meaning::End,
            Phase::Busy(_) if activity.body_comes && elapsed < BODY_ENDS_WITHIN => Meaning::Wait(BODY_ENDS_WITHIN),
            Phase::Busy(_) if activity.body_comes => Meaning::End,
            Phase::Busy(_) if activity.version < Version::HTTP_11 && elapsed >= HTTP10_WAITS => Meaning::Gone,
            // writing nothing fails once the client's system has sent a reset
            Phase::Busy(_) => match Pin::new(&mut self.stream).poll_write(cx, &[]) {
                Poll::Ready(Err(_)) => Meaning::Gone,
                _ => Meaning::Wait(LOOK_EVERY),
            },
        }
    }

    /// Writes to a client that sends no more, once, while its answer is awaited.
    fn probe(&mut self, cx: &mut Context<'_>) {
        let activity = self.recorder.now();
        let awaited = matches!(activity.phase, Phase::Busy(_)) && activity.version == Version::HTTP_11;
        if let Some(ended) = &mut self.ended
            && awaited
            && !self.blocked
            && !ended.probed
            && ended.since.elapsed() >= PROBE_AFTER
        {
            ended.probed = true;
            self.own.extend_from_slice(PROBE);
            let _ = self.poll_own(cx); // an error shows at the next look
        }
    }

    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let since = self.ended.get_or_insert_with(Ended::now).since;
        loop {
            match self.meaning(since, cx) {
                Meaning::End => return Poll::Ready(Ok(())),
                Meaning::Gone => return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
                Meaning::Wait(wait) => {
                    self.probe(cx);
                    let Some(ended) = &mut self.ended else { return Poll::Ready(Ok(())) };
                    if ended.look.is_elapsed() {
                        ended.look.as_mut().reset(Instant::now() + wait);
                    }
                    ready!(ended.look.as_mut().poll(cx));
                }
            }
        }
    }

    /// Writes what is our own.
    fn poll_own(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.own.is_empty() {
            let written = ready!(Pin::new(&mut self.stream).poll_write(cx, &self.own))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.own.drain(..written);
        }
        Poll::Ready(Ok(()))
    }

    /// Takes a refusal of hyper's own, and writes ours instead.
    fn takes_refusal(&mut self, bytes: &[u8], cx: &mut Context<'_>) -> bool {
        let Some(refusal) = refused_head::in_words(bytes) else { return false };
        self.own.extend_from_slice(&refusal);
        let until = Box::pin(tokio::time::sleep(DISCARDED_FOR));
        self.discard = Some(Discard { bytes: DISCARDED_BYTES, until });
        let _ = self.poll_own(cx); // the rest, or the error, comes with the flush
        true
    }

    /// Looks whether the first bytes of the connection are HTTP/2's.
    fn look_at(&mut self, bytes: &[u8]) {
        let Some(rest) = self.preface.take() else { return };
        let (count, more) = (rest.len().min(bytes.len()), bytes.len() < rest.len());
        if rest[..count] != bytes[..count] {
            return;
        }
        if more {
            self.preface = Some(&rest[count..]);
        } else {
            self.recorder.http2();
        }
    }

    fn note(&mut self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        self.blocked = written.is_pending();
        written
    }
}

impl Ended {
    fn now() -> Self {
        let since = Instant::now();
        Self { since, probed: false, look: Box::pin(tokio::time::sleep_until(since)) }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Socket<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.ended.is_none() {
            let before = buf.filled().len();
            ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
            if buf.filled().len() > before {
                self.recorder.bytes();
                self.look_at(&buf.filled()[before..]);
                return Poll::Ready(Ok(()));
            }
            if buf.remaining() == 0 {
                return Poll::Ready(Ok(()));
            }
        }
        self.poll_end(cx)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Socket<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_own(cx))?;
        if self.takes_refusal(bytes, cx) {
            return Poll::Ready(Ok(bytes.len()));
        }
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.note(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_own(cx))?;
        if let [bytes] = slices
            && self.takes_refusal(bytes, cx)
        {
            return Poll::Ready(Ok(bytes.len()));
        }
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.note(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_own(cx))?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_own(cx))?;
        ready!(Pin::new(&mut self.stream).poll_shutdown(cx))?;
        let Self { stream, discard, .. } = &mut *self;
        let Some(left) = discard else { return Poll::Ready(Ok(())) };
        let mut unread = [0; 4096];
        while left.bytes > 0 && left.until.as_mut().poll(cx).is_pending() {
            let mut buf = ReadBuf::new(&mut unread);
            let read = ready!(Pin::new(&mut *stream).poll_read(cx, &mut buf));
            if read.is_err() || buf.filled().is_empty() {
                break;
            }
            left.bytes = left.bytes.saturating_sub(buf.filled().len());
        }
        Poll::Ready(Ok(()))
    }
}
