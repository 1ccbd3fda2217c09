//! What the environment says: the hub, its token, the cache, the network. The variables are those of Hugging Face's own library.
//! Not here: what they are used for.

use std::fmt;
use std::path::{Path, PathBuf};

use super::HubError;

/// The hub, where none is named.
const ENDPOINT: &str = "https://huggingface.co";

/// How the hub is reached, and where what comes from it is kept.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The address of the hub, without a slash at its end.
    pub endpoint: String,
    /// The folder of all repositories.
    pub cache: PathBuf,
    /// Who asks; the hub alone is told.
    pub token: Option<Token>,
    /// Whether the network is left alone.
    pub offline: bool,
    /// A file with certificates in PEM that are believed in place of Mozilla's.
    pub certificates: Option<PathBuf>,
}

/// A secret, which is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

impl Token {
    /// `None` for nothing but spaces.
    ///
    /// # Errors
    /// [`HubError::Setting`] for what no header can hold.
    fn read(variable: &'static str, text: &str) -> Result<Option<Self>, HubError> {
        let text = text.trim();
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            let why = "a token has letters, digits and signs of ASCII only".to_owned();
            return Err(HubError::Setting { variable, why });
        }
        Ok((!text.is_empty()).then(|| Self(text.to_owned())))
    }

    /// For the header `Authorization`.
    pub(super) fn bearer(&self) -> String {
        format!("Bearer {}", self.0)
    }
}

impl Settings {
    /// What this process's environment says.
    ///
    /// # Errors
    /// [`HubError::Setting`].
    pub fn from_environment() -> Result<Self, HubError> {
        Self::of(|name| std::env::var(name).ok())
    }

    fn of(variable: impl Fn(&str) -> Option<String>) -> Result<Self, HubError> {
        let variable = |name: &str| variable(name).filter(|value| !value.is_empty());
        let user = variable("HOME").map_or_else(std::env::temp_dir, PathBuf::from);
        let path = |name: &str| variable(name).map(|text| expanded(&text, &user));
        let home = path("HF_HOME")
            .unwrap_or_else(|| path("XDG_CACHE_HOME").unwrap_or_else(|| user.join(".cache")).join("huggingface"));
        let cache = path("HF_HUB_CACHE").or_else(|| path("HUGGINGFACE_HUB_CACHE")).unwrap_or_else(|| home.join("hub"));
        let endpoint = variable("HF_ENDPOINT").unwrap_or_else(|| ENDPOINT.to_owned());
        let endpoint = endpoint.trim_end_matches('/').to_owned();
        if !endpoint.starts_with("http://") && !endpoint.starts_with("https://") {
            let why = format!("{endpoint:?} is no address that begins with https:// or http://");
            return Err(HubError::Setting { variable: "HF_ENDPOINT", why });
        }
        let token = match variable("HF_TOKEN").or_else(|| variable("HUGGING_FACE_HUB_TOKEN")) {
            Some(token) => Token::read("HF_TOKEN", &token)?,
            None => {
                let file = path("HF_TOKEN_PATH").unwrap_or_else(|| home.join("token"));
                let text = std::fs::read_to_string(file).unwrap_or_default();
                Token::read("HF_TOKEN_PATH", &text)?
            }
        };
        let is_on = |name: &str| variable(name).is_some_and(|value| is_true(&value));
        let offline = is_on("HF_HUB_OFFLINE") || is_on("TRANSFORMERS_OFFLINE");
        Ok(Self { endpoint, cache, token, offline, certificates: path("SSL_CERT_FILE") })
    }
}

/// A leading `~` is the user's folder.
fn expanded(text: &str, user: &Path) -> PathBuf {
    match text.strip_prefix('~') {
        Some("") => user.to_owned(),
        Some(rest) if rest.starts_with('/') => user.join(rest.trim_start_matches('/')),
        _ => PathBuf::from(text),
    }
}

fn is_true(value: &str) -> bool {
    ["1", "ON", "YES", "TRUE"].contains(&value.to_uppercase().as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(variables: &[(&str, &str)]) -> Settings {
        let value =
            |name: &str| variables.iter().find(|(other, _)| *other == name).map(|(_, value)| (*value).to_owned());
        Settings::of(value).unwrap()
    }

    #[test]
    fn the_cache_is_where_hugging_faces_library_has_it() {
        let cache = |variables: &[(&str, &str)]| of(&[&[("HOME", "/me")], variables].concat()).cache;
        assert_eq!(cache(&[]), Path::new("/me/.cache/huggingface/hub"));
        assert_eq!(cache(&[("XDG_CACHE_HOME", "/x")]), Path::new("/x/huggingface/hub"));
        assert_eq!(cache(&[("XDG_CACHE_HOME", "/x"), ("HF_HOME", "~/hf")]), Path::new("/me/hf/hub"));
        assert_eq!(cache(&[("HF_HOME", "/h"), ("HF_HUB_CACHE", "/c")]), Path::new("/c"));
    }

    #[test]
    fn the_token_is_the_variables_or_else_the_files_and_never_shown() {
        let home = tempfile::tempdir().unwrap();
        std::fs::write(home.path().join("token"), "of-file\n").unwrap();
        let home = ("HF_HOME", home.path().to_str().unwrap());
        assert_eq!(of(&[home]).token.unwrap().bearer(), "Bearer of-file");
        let settings = of(&[home, ("HF_TOKEN", " secret ")]);
        assert!(!format!("{settings:?}").contains("secret"));
        assert_eq!(settings.token.unwrap().bearer(), "Bearer secret");
        assert_eq!(of(&[("HF_HOME", "/nowhere"), ("HF_TOKEN", "")]).token, None);
        let wrong = Settings::of(|name| (name == "HF_TOKEN").then(|| "sec\nret".to_owned())).unwrap_err();
        assert!(!wrong.to_string().contains("ret\n") && wrong.to_string().starts_with("HF_TOKEN: "), "{wrong}");
    }

    #[test]
    fn the_endpoint_and_the_network_are_as_the_variables_say() {
        let settings = of(&[("HF_HOME", "/h"), ("HF_ENDPOINT", "http://127.0.0.1:1/hub/"), ("HF_HUB_OFFLINE", "yes")]);
        assert_eq!((settings.endpoint.as_str(), settings.offline), ("http://127.0.0.1:1/hub", true));
        let settings = of(&[("HF_HOME", "/h"), ("HF_HUB_OFFLINE", "0")]);
        assert_eq!((settings.endpoint.as_str(), settings.offline), (ENDPOINT, false));
        assert!(Settings::of(|name| (name == "HF_ENDPOINT").then(|| "hub".to_owned())).is_err());
    }
}
