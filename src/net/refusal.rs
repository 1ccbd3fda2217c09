//! The answer to a connection that is one too many: 503, then the close.
//!
//! It is HTTP/1.1 whatever the client speaks, for nothing of its request is parsed.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::tls::Tls;

/// Clients that are answered at the same time; further ones are closed without an answer.
const MAX_ANSWERED: usize = 256;
const ANSWER_WITHIN: Duration = Duration::from_secs(1);
const ANSWER: &str = "HTTP/1.1 503 Service Unavailable\r\n\
    content-type: application/json\r\nretry-after: 1\r\nconnection: close\r\ncontent-length: 32\r\n\r\n\
    {\"error\":\"too many connections\"}";

/// Refusals on their way. They end when this is dropped.
#[derive(Default)]
pub(super) struct Refusals(JoinSet<()>);

impl Refusals {
    /// Answers in TLS where the port speaks that.
    pub(super) fn refuse(&mut self, stream: TcpStream, tls: Option<Tls>) {
        while self.0.try_join_next().is_some() {}
        if self.0.len() < MAX_ANSWERED {
            self.0.spawn(async move {
                match tls {
                    None => answer(stream).await,
                    Some(tls) => {
                        if let Ok((stream, _)) = tls.accept(stream, ANSWER_WITHIN).await {
                            answer(stream).await;
                        }
                    }
                }
            });
        }
    }
}

/// Answers, then reads what the client sends: a close over unread bytes would reset the connection, and the answer with it.
async fn answer(mut stream: impl AsyncRead + AsyncWrite + Unpin) {
    let answer = async {
        stream.write_all(ANSWER.as_bytes()).await?;
        stream.shutdown().await?;
        let mut unread = [0; 4096];
        while stream.read(&mut unread).await? > 0 {}
        io::Result::Ok(())
    };
    let _ = tokio::time::timeout(ANSWER_WITHIN, answer).await;
}
