//! The user's page: each command and program of `docs/clients.md` is run as it stands there. Not here: the README's two commands, which CI runs.

use std::path::Path;
use std::process::Command;

use crate::server::{PHOTO, Server, output};
use crate::{provisioned, python};

const PAGE: &str = include_str!("../../docs/clients.md");

/// A fenced block: its language and its text.
struct Block {
    language: String,
    text: String,
}

#[test]
fn the_users_page_does_what_it_says() {
    let Some(python) = python() else { return };
    let Some(node) = provisioned("CONVNEXT_TEST_NODE", "/usr/bin/node") else { return };
    let repository = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = tempfile::tempdir().unwrap();
    let things = repository.join("tests/golden/timm-convnext");
    std::os::unix::fs::symlink(&things, folder.path().join("things")).unwrap();
    std::fs::copy(repository.join("tests/images/cat.jpg"), folder.path().join("photo.jpg")).unwrap();
    std::fs::copy(PHOTO, folder.path().join("boot.png")).unwrap();
    let model = format!("things={},convnext_atto", things.display());
    let server = Server::start_with(&["--models", &model, "--drain-delay", "0s"]);
    let program = Path::new(env!("CARGO_BIN_EXE_convnext")).parent().unwrap();
    let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap());

    let (mut told, mut ran) = (String::new(), 0);
    for Block { language, text } in blocks(PAGE) {
        let text = text.replace("127.0.0.1:8080", server.http()).replace("127.0.0.1:9000", &server.grpc);
        let mut command = match &*language {
            "sh" => Command::new("sh"),
            "python" => Command::new(&python),
            "javascript" => Command::new(&node),
            // what the block before has told, line by line
            "output" => {
                for line in text.lines() {
                    assert!(told.contains(line), "no {line:?} in\n{told}");
                }
                continue;
            }
            // needs the network, or is the server that runs
            "console" => continue,
            other => panic!("a block of {other:?}"),
        };
        match &*language {
            "sh" => command.args(["-euc", &text]),
            "javascript" => command.args(["--input-type=module", "--eval", &text]),
            _ => command.args(["-c", &text]),
        };
        told = output(command.current_dir(folder.path()).env("PATH", &path));
        assert!(!told.trim().is_empty(), "it says nothing: {text}");
        ran += 1;
    }
    assert!(ran >= 10, "{ran} blocks");
}

fn blocks(page: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        if let Some(language) = line.strip_prefix("```") {
            let text: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
            blocks.push(Block { language: language.to_owned(), text: text.join("\n") });
        }
    }
    blocks
}
