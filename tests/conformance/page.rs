//! A real Chromium opens the page. Not here: what it asks (`tests/http`).

use crate::server::{PHOTO, Server, output, script};
use crate::{provisioned, python};

#[test]
fn a_browser_classifies_sees_numbers_move_and_axe_finds_nothing() {
    let Some(python) = python() else { return };
    let Some(chromium) = provisioned("CONVNEXT_TEST_CHROMIUM", "/usr/bin/chromium") else { return };
    let Some(driver) = provisioned("CONVNEXT_TEST_CHROMEDRIVER", "/usr/bin/chromedriver") else { return };
    let Some(axe) = provisioned("CONVNEXT_TEST_AXE", "target/provision/axe-core-4.14.1/package/axe.min.js") else {
        return;
    };
    let server = Server::start_with(&["--calibrate", "quick", "--drain-delay", "0s"]);
    let shots = tempfile::tempdir().unwrap();
    let files = [&chromium, &driver, &axe, &shots.path().to_path_buf()].map(|path| path.display().to_string());
    let page = server.url("/");
    output(&mut script(&python, "page.py", [&page].into_iter().chain(&files)));
    assert_eq!(std::fs::read_dir(shots.path()).unwrap().count(), 4, "two themes, two widths");
}

#[test]
fn a_browser_reads_the_docs_and_tries_an_operation_out() {
    let Some(python) = python() else { return };
    let Some(chromium) = provisioned("CONVNEXT_TEST_CHROMIUM", "/usr/bin/chromium") else { return };
    let Some(driver) = provisioned("CONVNEXT_TEST_CHROMEDRIVER", "/usr/bin/chromedriver") else { return };
    let server = Server::start();
    let files = [chromium.display().to_string(), driver.display().to_string(), PHOTO.to_owned()];
    let page = server.url("/docs");
    output(&mut script(&python, "docs_page.py", [&page].into_iter().chain(&files)));
}
