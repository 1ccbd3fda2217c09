//! An address to listen at, as operators write it: numbers, a name, or only a port. Not here: binding it (`cli`).

use std::net::{Ipv4Addr, SocketAddr, ToSocketAddrs as _};
use std::str::FromStr;

use serde::Deserialize;

/// An address, resolved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Address(SocketAddr);

/// What may be written.
const POSSIBLE: &str = "possible are numbers (127.0.0.1:8080, [::1]:8080), a name (localhost:8080), and only a port (:8080) for all IPv4 addresses of this machine";

impl FromStr for Address {
    type Err = String;

    /// Reads `ADDR:PORT`, `NAME:PORT` or `:PORT`. A name is looked up; of several addresses the first of IPv4 is taken, so that
    /// `localhost` is 127.0.0.1 wherever it is ::1 too.
    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(address) = text.parse() {
            return Ok(Self(address));
        }
        let unreadable = || format!("{text:?} is no address; {POSSIBLE}");
        let (host, port) = text.rsplit_once(':').ok_or_else(unreadable)?;
        let port: u16 =
            port.parse().map_err(|_| format!("{text:?} has no port from 0 to 65535 at its end; {POSSIBLE}"))?;
        if host.is_empty() {
            return Ok(Self((Ipv4Addr::UNSPECIFIED, port).into()));
        }
        if host.contains([':', '[', ']', '/', '@']) || host.contains(char::is_whitespace) {
            return Err(unreadable());
        }
        let found = (host, port).to_socket_addrs();
        let found: Vec<_> =
            found.map_err(|error| format!("the name {host:?} is not found: {error}; {POSSIBLE}"))?.collect();
        let chosen = found.iter().find(|address| address.is_ipv4()).or(found.first());
        chosen.copied().map(Self).ok_or_else(|| format!("the name {host:?} has no address; {POSSIBLE}"))
    }
}

impl TryFrom<String> for Address {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Address> for SocketAddr {
    fn from(Address(address): Address) -> Self {
        address
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn read(text: &str) -> String {
        SocketAddr::from(text.parse::<Address>().unwrap()).to_string()
    }

    #[test]
    fn numbers_stand_for_themselves_and_a_port_for_all_addresses() {
        for text in ["127.0.0.1:8080", "[::1]:0", "0.0.0.0:9090"] {
            assert_eq!(read(text), text);
        }
        assert_eq!(read(":8080"), "0.0.0.0:8080");
    }

    #[test]
    fn localhost_is_127_0_0_1() {
        assert_eq!(read("localhost:8080"), "127.0.0.1:8080");
    }

    #[test]
    fn what_is_no_address_says_what_is_possible() {
        for text in
            ["", "8080", "localhost", "127.0.0.1", ":http", ":70000", "::1:8080", "http://a:80", "no.such.invalid:80"]
        {
            let error = text.parse::<Address>().unwrap_err();
            assert!(error.contains("localhost:8080") && error.contains(":8080)"), "{text}: {error}");
        }
        assert!("no.such.invalid:80".parse::<Address>().unwrap_err().contains("not found"));
    }
}
