//! What systemd is told of the server (`Type=notify`): datagrams to the socket that it names, as `sd_notify(3)` writes them.
//! Not here: when something is so (`serve`).

use std::ffi::{OsStr, OsString};
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;
use std::{env, io};

/// Who started the server and wants to know. Says nothing where nobody does.
#[derive(Debug)]
pub(super) struct Supervisor {
    /// None where nobody asked, or cannot be reached.
    socket: Option<(UnixDatagram, SocketAddr)>,
    /// How often a sign of life is wanted at least.
    watchdog: Option<Duration>,
}

impl Supervisor {
    /// As `NOTIFY_SOCKET` and `WATCHDOG_USEC` have it. What cannot be used is logged: serving does not depend on it.
    pub(super) fn of_environment() -> Self {
        let watchdog = env::var("WATCHDOG_USEC").ok().and_then(|micros| micros.parse().ok());
        Self::named(env::var_os("NOTIFY_SOCKET"), watchdog)
    }

    fn named(name: Option<OsString>, watchdog_micros: Option<u64>) -> Self {
        let nobody = Self { socket: None, watchdog: None };
        let Some(name) = name.filter(|name| !name.is_empty()) else { return nobody };
        match connection(&name) {
            Ok(socket) => Self {
                socket: Some(socket),
                watchdog: watchdog_micros.filter(|micros| *micros > 0).map(Duration::from_micros),
            },
            Err(error) => {
                tracing::warn!(socket = %name.display(), %error, "whoever started the server cannot be told how it is");
                nobody
            }
        }
    }

    /// The models are loaded, and this is what it does.
    pub(super) fn ready(&self, status: &str) {
        self.tell(&format!("READY=1\nSTATUS={status}"));
    }

    /// The drain has begun.
    pub(super) fn stopping(&self) {
        self.tell("STOPPING=1\nSTATUS=draining");
    }

    /// Gives signs of life, twice as often as they are wanted, for as long as the runtime gets round to it.
    pub(super) async fn live(&self) {
        let Some(watchdog) = self.watchdog else { return };
        let mut ticks = tokio::time::interval(watchdog / 2);
        loop {
            ticks.tick().await;
            self.tell("WATCHDOG=1");
        }
    }

    fn tell(&self, state: &str) {
        let Some((socket, address)) = &self.socket else { return };
        if let Err(error) = socket.send_to_addr(state.as_bytes(), address) {
            tracing::warn!(state, %error, "whoever started the server could not be told");
        }
    }
}

/// A socket, and where it is to write.
fn connection(name: &OsStr) -> io::Result<(UnixDatagram, SocketAddr)> {
    let address = address(name)?;
    let socket = UnixDatagram::unbound()?;
    // a reader that hangs holds nothing up for long
    socket.set_write_timeout(Some(Duration::from_secs(1)))?;
    Ok((socket, address))
}

/// A path, or behind `@` a name that Linux keeps apart from files.
fn address(name: &OsStr) -> io::Result<SocketAddr> {
    match name.as_encoded_bytes() {
        [b'/', ..] => SocketAddr::from_pathname(name),
        #[cfg(target_os = "linux")]
        [b'@', rest @ ..] => <SocketAddr as std::os::linux::net::SocketAddrExt>::from_abstract_name(rest),
        _ => Err(io::Error::new(io::ErrorKind::Unsupported, "neither a path nor an abstract name")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(systemd: &UnixDatagram) -> String {
        let mut buffer = [0; 256];
        systemd.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let n = systemd.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..n]).into_owned()
    }

    #[test]
    fn a_path_hears_readiness_and_the_drain() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let systemd = UnixDatagram::bind(&path).unwrap();
        let supervisor = Supervisor::named(Some(path.into()), None);
        supervisor.ready("serving on 127.0.0.1:8080");
        supervisor.stopping();
        assert_eq!(heard(&systemd), "READY=1\nSTATUS=serving on 127.0.0.1:8080");
        assert_eq!(heard(&systemd), "STOPPING=1\nSTATUS=draining");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn an_abstract_name_hears_too() {
        let name = format!("convnext-notify-{}", std::process::id());
        let bound = <SocketAddr as std::os::linux::net::SocketAddrExt>::from_abstract_name(name.as_bytes()).unwrap();
        let systemd = UnixDatagram::bind_addr(&bound).unwrap();
        Supervisor::named(Some(format!("@{name}").into()), None).stopping();
        assert_eq!(heard(&systemd), "STOPPING=1\nSTATUS=draining");
    }

    #[tokio::test(start_paused = true)]
    async fn signs_of_life_come_twice_as_often_as_they_are_wanted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let systemd = UnixDatagram::bind(&path).unwrap();
        let supervisor = Supervisor::named(Some(path.into()), Some(30_000_000));
        // one at once, and then at 15, 30 and 45 s
        let a_while = tokio::time::timeout(Duration::from_secs(46), supervisor.live()).await;
        assert!(a_while.is_err(), "they never end");
        systemd.set_nonblocking(true).unwrap();
        let mut buffer = [0; 64];
        let mut signs = 0;
        while let Ok(n) = systemd.recv(&mut buffer) {
            assert_eq!(&buffer[..n], b"WATCHDOG=1");
            signs += 1;
        }
        assert_eq!(signs, 4);
    }

    #[test]
    fn nobody_who_asks_or_can_be_reached_is_no_error() {
        for name in [None, Some(""), Some("/nowhere/at/all"), Some("vsock:2:9")] {
            Supervisor::named(name.map(OsString::from), Some(1_000)).ready("serving");
        }
    }
}
