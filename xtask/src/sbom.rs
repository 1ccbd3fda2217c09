//! `cargo xtask sbom`: what the binary is made of, as a CycloneDX document. Not here: the image's own parts (glibc), whose licences lie in it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use crate::run::{cargo, output, root, step};

/// The document, which goes into the container image too.
const FILE: &str = "deploy/image/sbom.cdx.json";
/// The platform whose dependencies are listed: that of the image.
const PLATFORM: &str = "x86_64-unknown-linux-gnu";
const PACKAGE: &str = "convnext-server";

/// What the binary is made of (SBOM, CycloneDX 1.6), by cargo's own account: each crate that is linked, its version, hash, licence, source and dependencies.
///
/// Written to deploy/image/sbom.cdx.json, which is committed: run it when Cargo.lock changed.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Write nothing; fail where the committed document is not what would be written.
    #[arg(long)]
    check: bool,
}

/// Writes the document, or holds the committed one to it.
pub(crate) fn sbom(options: &Options) -> Result<()> {
    // `cargo metadata` downloads what it describes, and says nothing meanwhile
    step(&mut cargo(&["fetch", "--locked", "--quiet"]))?;
    let document = document()?;
    let path = root().join(FILE);
    if !options.check {
        return fs::write(&path, format!("{document:#}\n")).with_context(|| format!("cannot write {FILE}"));
    }
    let committed = fs::read_to_string(&path).with_context(|| format!("cannot read {FILE}"))?;
    if serde_json::from_str::<Value>(&committed).with_context(|| format!("{FILE} is no JSON"))? != document {
        bail!("{FILE} is not what Cargo.lock says: `cargo xtask sbom` writes it anew");
    }
    Ok(())
}

/// A crate by its name and its version.
type Id = (String, String);

fn document() -> Result<Value> {
    let linked = linked()?;
    let described = output(&mut cargo(&["metadata", "--locked", "--format-version=1", "--filter-platform", PLATFORM]))?;
    let described: Value = serde_json::from_str(&described.text).context("cargo metadata wrote no JSON")?;
    let hashes = hashes()?;

    let mut components = Vec::new();
    let mut names = BTreeMap::new();
    for package in list(&described["packages"]) {
        let id = (text(&package["name"]), text(&package["version"]));
        names.insert(text(&package["id"]), id.clone());
        if id.0 != PACKAGE && linked.contains(&id) {
            components.push((
                id.clone(),
                component(package, hashes.get(&id).with_context(|| format!("{id:?} has no hash in Cargo.lock"))?),
            ));
        }
    }
    if components.len() + 1 != linked.len() {
        bail!("{} crates are linked besides ours, {} are described", linked.len() - 1, components.len());
    }
    components.sort_by(|a, b| a.0.cmp(&b.0));

    let mut dependencies = BTreeMap::new();
    for node in list(&described["resolve"]["nodes"]) {
        let Some(id) = names.get(&text(&node["id"])).filter(|id| linked.contains(id)) else { continue };
        let on = list(&node["deps"]).iter().filter(|on| is_linked(on)).filter_map(|on| names.get(&text(&on["pkg"])));
        let on: BTreeSet<String> = on.filter(|on| linked.contains(on)).map(purl).collect();
        dependencies.insert(purl(id), on);
    }
    let dependencies: Vec<Value> = dependencies.iter().map(|(id, on)| json!({"ref": id, "dependsOn": on})).collect();

    let ours = linked.iter().find(|id| id.0 == PACKAGE).context("cargo tree does not list us")?;
    Ok(json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": purl(ours),
                "name": "convnext",
                "version": ours.1,
                "licenses": [{"expression": "MIT OR Apache-2.0"}],
            },
            "properties": [{"name": "cdx:rustc:sbom:target:triple", "value": PLATFORM}],
        },
        "components": components.into_iter().map(|(_, component)| component).collect::<Vec<_>>(),
        "dependencies": dependencies,
    }))
}

/// What cargo links with the binary: the crates with the features that are on, but no procedural macros and nothing that only builds or tests.
fn linked() -> Result<BTreeSet<Id>> {
    let arguments = [
        "tree",
        "--locked",
        "--package",
        PACKAGE,
        "--edges=normal,no-proc-macro",
        "--target",
        PLATFORM,
        "--prefix=none",
        "--format={p}",
    ];
    let lines = output(&mut cargo(&arguments))?.text;
    let mut found = BTreeSet::new();
    for line in lines.lines().filter(|line| !line.is_empty()) {
        let mut words = line.split(' ');
        let (name, version) = words.next().zip(words.next()).with_context(|| format!("cargo tree wrote {line:?}"))?;
        found.insert((name.to_owned(), version.trim_start_matches('v').to_owned()));
    }
    Ok(found)
}

/// Whether a dependency is one of the program, and not of its build or its tests.
fn is_linked(dependency: &Value) -> bool {
    list(&dependency["dep_kinds"]).iter().any(|kind| kind["kind"].is_null())
}

/// The SHA-256 of each crate's archive, by Cargo.lock.
fn hashes() -> Result<BTreeMap<Id, String>> {
    let lock = fs::read_to_string(root().join("Cargo.lock")).context("cannot read Cargo.lock")?;
    let value = |block: &str, key: &str| {
        let line = block.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(" = \""));
        line.map(|line| line.trim_end_matches('"').to_owned())
    };
    let of = |block| Some(((value(block, "name")?, value(block, "version")?), value(block, "checksum")?));
    Ok(lock.split("[[package]]").filter_map(of).collect())
}

fn component(package: &Value, hash: &str) -> Value {
    let id = (text(&package["name"]), text(&package["version"]));
    let mut component = json!({
        "type": "library",
        "bom-ref": purl(&id),
        "name": id.0,
        "version": id.1,
        "scope": "required",
        "hashes": [{"alg": "SHA-256", "content": hash}],
        "purl": purl(&id),
    });
    if let Some(licence) = package["license"].as_str() {
        // older crates write a slash where SPDX has a word
        component["licenses"] = json!([{"expression": licence.replace(" / ", "/").replace('/', " OR ")}]);
    }
    if let Some(repository) = package["repository"].as_str() {
        component["externalReferences"] = json!([{"type": "vcs", "url": repository}]);
    }
    component
}

/// The address of a crate, as scanners know it.
fn purl((name, version): &Id) -> String {
    format!("pkg:cargo/{name}@{}", version.replace('+', "%2B"))
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
