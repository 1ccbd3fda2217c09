//! What is said by flags, in the file and by default, and how it goes together. Not here: ranges of single values (`config`).

use clap::{Args, Command, FromArgMatches};

use super::*;
use crate::service::Settings;

fn flags(args: &[&str]) -> Flags {
    let matches = Flags::augment_args(Command::new("serve").no_binary_name(true)).get_matches_from(args);
    Flags::from_arg_matches(&matches).unwrap()
}

/// What `--help` says, by flag.
fn helps() -> BTreeMap<String, String> {
    let command = Flags::augment_args(Command::new("serve"));
    let help = |arg: &clap::Arg| (arg.get_long().unwrap().to_owned(), arg.get_help().unwrap().to_string());
    command.get_arguments().map(help).collect()
}

/// The cells of a table's row.
fn cells(row: &str) -> Vec<&str> {
    row.trim_matches('|').split('|').map(str::trim).collect()
}

#[test]
fn help_tells_the_default_of_every_flag_that_has_one() {
    let expected = [
        ("models", "[default: convnext_atto,swin_atto]"),
        ("http-addr", "[default: 127.0.0.1:8080]"),
        ("max-batch", "[default: 32]"),
        ("max-delay", "[default: 0s]"),
        ("decode-threads", "[default: cores]"),
        ("deadline", "[default: 30s]"),
        ("max-body", "[default: 16MiB]"),
        ("max-pixels", "[default: 64M]"),
        ("log-format", "[default: pretty]"),
    ];
    let helps = helps();
    for (flag, default) in expected {
        assert!(helps[flag].ends_with(default), "--{flag}: {}", helps[flag]);
    }
    assert!(!helps["baseline"].contains("default"));
    assert!(helps.values().all(|help| help.matches("[default").count() <= 1));
}

#[test]
fn the_page_of_configuration_tells_the_defaults_that_help_tells() {
    let page = include_str!("../../../docs/configuration.md");
    let (_, section) = page.split_once("\n## Defaults\n").unwrap();
    let table = section.lines().skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|'));
    let mut told = BTreeMap::new();
    for row in table.skip(2) {
        let [_, defaults, flags] = cells(row)[..] else { panic!("three cells are needed: {row}") };
        let (defaults, flags): (Vec<_>, Vec<_>) = (defaults.split(", ").collect(), flags.split(", ").collect());
        assert_eq!(defaults.len(), flags.len(), "a default for each flag is needed: {row}");
        for (flag, default) in flags.into_iter().zip(defaults) {
            let flag = flag.strip_prefix("`--").and_then(|flag| flag.strip_suffix('`'));
            let before = told.insert(flag.unwrap_or_else(|| panic!("no flag: {row}")).to_owned(), default.to_owned());
            assert_eq!(before, None, "{row}");
        }
    }
    let default_of = |flag: String| Some((flag.clone(), Flags::default_of(&flag.replace('-', "_"))?));
    let defaults: BTreeMap<String, String> = helps().into_keys().filter_map(default_of).collect();
    assert_eq!(told, defaults, "the table of defaults (left) and those of --help (right)");
}

#[test]
fn where_a_default_is_told_as_cores_it_is_their_number() {
    let cores = std::thread::available_parallelism().unwrap().get();
    let settings = Settings::default();
    assert_eq!([settings.engine_threads, settings.decode_threads], [cores; 2]);
}

#[test]
fn without_a_word_the_defaults_hold() {
    assert_eq!(Flags::default().resolve().unwrap(), Config::default());
}

#[test]
fn a_flag_wins_over_the_file_and_the_file_over_the_default() {
    let file: Flags = toml::from_str("max-batch = 8\ndeadline = \"2s\"\nmax-body = \"1MiB\"").unwrap();
    let config = flags(&["--max-batch", "4"]).or(file).resolve().unwrap();
    assert_eq!(config.settings.model.max_batch, 4);
    assert_eq!(config.settings.model.deadline.as_secs(), 2);
    assert_eq!(config.settings.limits.max_body_bytes, 1 << 20);
    assert_eq!(config.settings.decode_threads, Settings::default().decode_threads);
}

#[test]
fn the_file_knows_every_flag_by_its_name() {
    let command = Flags::augment_args(Command::new("serve"));
    for arg in command.get_arguments() {
        let name = arg.get_long().unwrap();
        let text = format!("{name} = {{}}");
        let error = toml::from_str::<Flags>(&text).unwrap_err().to_string();
        assert!(!error.contains("unknown field"), "{name}: {error}");
        let variable = format!("CONVNEXT_{}", name.to_uppercase().replace('-', "_"));
        assert_eq!(arg.get_env().unwrap(), variable.as_str());
    }
}

#[test]
fn an_address_may_be_a_name_or_a_port_in_flag_and_file() {
    let config = flags(&["--http-addr", "localhost:81"]).or(toml::from_str("grpc-addr = ':90'").unwrap());
    let config = config.resolve().unwrap();
    assert_eq!(config.http_addr.to_string(), "127.0.0.1:81");
    assert_eq!(config.grpc_addr.to_string(), "0.0.0.0:90");
    let command = Flags::augment_args(Command::new("serve").no_binary_name(true));
    let error = command.try_get_matches_from(["--admin-addr", "90"]).unwrap_err().to_string();
    assert!(error.contains("--admin-addr") && error.contains("localhost:8080"), "{error}");
    let error = toml::from_str::<Flags>("http-addr = '90'").unwrap_err().to_string();
    assert!(error.contains("http-addr") && error.contains("localhost:8080"), "{error}");
}

#[test]
fn the_admin_port_is_exposed_only_with_keys_or_client_certificates() {
    let certificates = ["--tls-cert", "a", "--tls-key", "b", "--tls-client-ca", "c"];
    for more in [&["--api-keys", "keys"][..], &certificates] {
        assert!(flags(&[&["--admin-addr", ":9090"], more].concat()).resolve().is_ok(), "{more:?}");
    }
    for loopback in ["127.0.0.2:9090", "[::1]:9090", "localhost:9090"] {
        assert!(flags(&["--admin-addr", loopback]).resolve().is_ok(), "{loopback}");
    }
}

#[test]
fn origins_are_separated_by_commas_or_the_flag_is_repeated() {
    let origins = |flags: Flags| {
        let origins = flags.resolve().unwrap().http.cors_allow_origins;
        origins.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let both = ["https://a.example", "http://localhost:3000"];
    assert_eq!(origins(Flags::default()), [""; 0]);
    assert_eq!(origins(flags(&["--cors-allow-origin", &both.join(",")])), both);
    assert_eq!(origins(flags(&["--cors-allow-origin", both[0], "--cors-allow-origin", both[1]])), both);
    assert_eq!(
        origins(toml::from_str("cors-allow-origin = ['https://a.example', 'http://localhost:3000']").unwrap()),
        both
    );
    let error = toml::from_str::<Flags>("cors-allow-origin = ['a.example']").unwrap_err().to_string();
    assert!(error.contains("a.example\" is no origin"), "{error}");
}

#[test]
fn what_makes_no_sense_is_refused_by_name() {
    let wrong = [
        &["--max-batch", "0"][..],
        &["--decode-threads", "0"],
        &["--queue-images", "0"],
        &["--deadline", "0s"],
        &["--max-body", "512MiB"],
        &["--max-pixels", "0"],
        &["--drain-delay", "31s"],
        &["--tls-cert", "a"],
        &["--tls-key", "a"],
        &["--tls-client-ca", "a"],
        &["--tls-client-crl", "a", "--tls-cert", "a", "--tls-key", "b"],
        &["--metrics-auth"],
        &["--tls-client-auth", "except-probes"],
        &["--admin-addr", ":9090"],
        &["--admin-addr", "0.0.0.0:9090", "--tls-cert", "a", "--tls-key", "b"],
    ];
    for args in wrong {
        let error = flags(args).resolve().unwrap_err().to_string();
        assert!(error.starts_with(&args[0][2..]), "{error}");
    }
    assert!(toml::from_str::<Flags>("max-bach = 8").unwrap_err().to_string().contains("max-bach"));
}
