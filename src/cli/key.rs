//! `convnext key`: makes an API key, and what the file of keys says of it. Not here: who may use it (`auth`).

use anyhow::anyhow;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::{SecureRandom as _, SystemRandom};

use super::{Failure, print};
use crate::auth::{self, Keys, Scope};

/// What a key begins with, so that those who look for leaked secrets know one.
const PREFIX: &str = "cvn_";
/// Random bytes of a key: nobody guesses one of 256 bits, so that a plain hash hides it.
const BYTES: usize = 32;

/// Arguments of `key`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Its name in logs and metrics
    #[arg(long)]
    name: String,
    /// What it is for
    #[arg(long, value_name = "SCOPE,…", value_delimiter = ',', value_enum, default_value = "infer")]
    scopes: Vec<Scope>,
    /// Images per second that it may have; without it as many as it likes
    #[arg(long, value_name = "IMAGES")]
    rate: Option<f64>,
    /// Images that it may have at once after a rest, where that is not what a second brings
    #[arg(long, value_name = "IMAGES", requires = "rate")]
    burst: Option<f64>,
}

pub(super) const OUTPUT: &str = "\
The table for the file goes to standard output, the key to standard error, once: the file keeps its SHA-256 only.

  convnext key --name shop --rate 100 >> keys.toml
  convnext serve --api-keys keys.toml";

pub(super) fn run(args: Args) -> Result<(), Failure> {
    let mut random = [0; BYTES];
    SystemRandom::new().fill(&mut random).map_err(|_| anyhow!("the system has no random bytes"))?;
    let key = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(random));
    let table = table(&args, &key);
    // what the server would refuse is refused here
    Keys::parse(table.as_bytes()).map_err(|why| Failure::Usage(anyhow!(why)))?;
    print(&table)?;
    {
        use std::io::Write as _;
        let told = writeln!(std::io::stderr(), "The key, which is shown this once: {key}");
        told.map_err(|error| anyhow!("the key could not be shown: {error}"))?;
    }
    Ok(())
}

fn table(args: &Args, key: &str) -> String {
    let Args { name, scopes, rate, burst } = args;
    let digest: String = auth::digest(key.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    let scopes: Vec<String> = scopes.iter().map(|scope| format!("\"{scope}\"")).collect();
    // as TOML writes text: a name with a quote is refused with its name and not with its line
    let name = name.replace('\\', "\\\\").replace('"', "\\\"");
    let mut table = format!("[[key]]\nname = \"{name}\"\nsha256 = \"{digest}\"\nscopes = [{}]\n", scopes.join(", "));
    for (field, value) in [("rate", rate), ("burst", burst)] {
        if let Some(value) = value {
            table.push_str(&format!("{field} = {value:?}\n"));
        }
    }
    table + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_one_that_the_server_reads() {
        let args = Args {
            name: "shop".to_owned(),
            scopes: vec![Scope::Infer, Scope::Admin],
            rate: Some(100.0),
            burst: Some(250.5),
        };
        let table = table(&args, "cvn_abc");
        assert!(!table.contains("cvn_abc"), "{table}");
        let keys = Keys::parse(table.as_bytes()).unwrap();
        let [entry] = keys.entries() else { panic!("{keys:?}") };
        assert_eq!((entry.digest, entry.scopes.len()), (auth::digest(b"cvn_abc"), 2));
        assert_eq!(entry.rate, Some(auth::Rate { images: 100.0, burst: 250.5 }));
    }

    #[test]
    fn a_name_that_cannot_be_is_refused() {
        for name in ["", "a\"b", "a\nb", "ä"] {
            let args = Args { name: name.to_owned(), scopes: vec![Scope::Infer], rate: None, burst: None };
            assert!(run(args).is_err(), "{name}");
        }
    }
}
