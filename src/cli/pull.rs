//! `convnext pull`: a model from the Hugging Face hub into its cache, where `hub:ORGANISATION/NAME` finds it.

use anyhow::anyhow;
use serde_json::{Value, json};

use super::progress::Telling;
use super::{Failure, print};
use crate::hub::{self, HubError, Reference, Settings, Snapshot};

/// The end of the command's help: the variables that it goes by.
pub(super) const VARIABLES: &str = "\
Fetched are config.json, preprocessor_config.json and the weights in safetensors, each checked by its size and hash. What is there is not fetched again; \
what was broken off is gone on with. The cache is that of Python's huggingface_hub, which finds what is pulled here, and the other way round. \
Standard output gets the folder.

The environment says where and how, as for huggingface_hub: HF_HOME or HF_HUB_CACHE (the cache, ~/.cache/huggingface/hub), HF_ENDPOINT (another hub), \
HF_TOKEN or HF_HOME/token (for private and gated models; sent to the hub alone), HF_HUB_OFFLINE, HTTPS_PROXY and NO_PROXY, SSL_CERT_FILE.

Try:
  convnext pull timm/convnext_tiny.fb_in1k
  convnext serve --models tiny=hub:timm/convnext_tiny.fb_in1k";

/// Arguments of `pull`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// ORGANISATION/NAME or ORGANISATION/NAME@REVISION, with or without hub: before it
    model: String,
    /// A branch, a tag or a commit [default: main]
    #[arg(long)]
    revision: Option<String>,
    /// Only look whether the cache has it, as with HF_HUB_OFFLINE=1
    #[arg(long)]
    offline: bool,
    /// JSON instead of the folder
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: Args) -> Result<(), Failure> {
    let mut reference: Reference = args.model.parse().map_err(Failure::usage)?;
    if let Some(revision) = &args.revision {
        reference = reference.at(revision).map_err(Failure::usage)?;
    }
    let mut settings = Settings::from_environment().map_err(Failure::usage)?;
    settings.offline |= args.offline;
    let pulled = Telling::Lines.of(&reference, |observer| hub::pull(&reference, &settings, observer));
    let snapshot = pulled.map_err(|error| match (&error, hub::cached(&reference, &settings)) {
        (HubError::Unreachable { .. }, Some(cached)) => {
            anyhow!("{error}. Commit {} of it is in the cache: --offline is content with that", cached.commit)
        }
        _ => anyhow::Error::from(error),
    })?;
    print(&if args.json {
        format!("{:#}\n", report(&reference, &snapshot))
    } else {
        format!("{}\n", snapshot.folder.display())
    })
}

fn report(reference: &Reference, snapshot: &Snapshot) -> Value {
    let files = snapshot.files.iter();
    let files: Vec<Value> =
        files.map(|file| json!({"name": file.name, "bytes": file.size, "downloaded": file.downloaded})).collect();
    json!({"repository": reference.repository(), "revision": reference.revision, "commit": snapshot.commit,
           "folder": snapshot.folder.display().to_string(), "files": files})
}
