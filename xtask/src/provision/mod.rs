//! What the tests, `conformance` and `kernels` need from outside: found on this machine, or fetched into `target/provision`.
//!
//! Nothing is installed into the system but curl, Python, Node and Chromium, and those only as root and only when they are missing.
//! Not here: what becomes of a test whose need is not met (`tests/provisioned`).

mod debian;
mod npm;
mod python;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use self::debian::{program, script, unpacked, with_libraries};
pub(crate) use self::python::{environment, packages};
use crate::run::{in_ci, on_path, root};

/// Protobuf's own command line, which calls gRPC by reflection.
const BUF: npm::Package = npm::Package {
    name: "@bufbuild/buf-linux-x64",
    version: "1.75.0",
    sha512: "606189031d25a4c084eda3168cd38971fa04686fdefa26079d30b8499d0fe5e4b821f7ccaf203d678fdb6f59b5c0d5c0109f004c530464e024ff9c7d544e3b8a",
};

/// What finds a page's barriers to people with disabilities.
const AXE: npm::Package = npm::Package {
    name: "axe-core",
    version: "4.14.1",
    sha512: "1477dafa598d8d065f273d6af302aa203c02e83131707b7fa648cd41bd3d6b734f8c22a0dab86ee6a6f64b8afbe804b214d36db85a2826965edfb3a0b9d546b5",
};

/// What judges custom resources of Kubernetes: types of KEDA, the Gateway API and Prometheus' operator, and of the kinds that they refer to.
const KUBERNETES_MODELS: [npm::Package; 5] = [
    npm::Package {
        name: "@kubernetes-models/keda",
        version: "2.0.0",
        sha512: "8aa0e886bccbe755170facccf919784439d9f50ee3c208a45d8ac30b12f4b1603965315aee731f4b8131bb6b8aea8840f8e50d40c508156391007369cf9aa517",
    },
    npm::Package {
        name: "@kubernetes-models/gateway-api",
        version: "2.0.0",
        sha512: "7bb498ec49021911f2e701e468684fdf6bfb5752fe8016a57e8a990c50d69f993d43bf885babb3f6335680e67d47f1efe4d5b200561a034d444f6aaccac56de4",
    },
    npm::Package {
        name: "@kubernetes-models/prometheus-operator",
        version: "6.0.0",
        sha512: "c92356e13e94e959fce9b99c27f7a6980609fd4af3a4dbf3c567b15894802f08223b816a0a02fa5a8a85b0e45e4a2321c3f2e517e3258d0be88b00f74676869a",
    },
    npm::Package {
        name: "@kubernetes-models/apimachinery",
        version: "3.0.2",
        sha512: "e956f3affb629f13c118675f6235e257d58f8fc3c48728aa189896857aec8a12bb87a8253e3e07294c59d18c185c7ff9bae726fcd55e7ffc58def6780ab8f516",
    },
    npm::Package {
        name: "kubernetes-models",
        version: "5.1.0",
        sha512: "ca6e0a8b2afc0731885a3e1ff39df2b556044b507c0b505d38d44fe73a1d22d3c3d68fff3842ae4f00b99c5577649b4519e32a3856c8624a6e9d25574a51d2f2",
    },
];

/// What was found or fetched, and what was not.
#[derive(Default)]
pub(crate) struct Provisions {
    /// Variables by which the tests find it.
    environment: Vec<(&'static str, PathBuf)>,
    missing: Vec<String>,
}

/// Finds or fetches what the tests need.
///
/// # Errors
/// In CI, when something cannot be had.
pub(crate) fn for_tests() -> Result<Provisions> {
    let mut provisions = Provisions::default();
    provisions.add("CONVNEXT_TEST_FASHION_MNIST", "accuracy of the demo model on Fashion-MNIST", fashion_mnist());
    provisions.checked()
}

/// Finds or fetches the programs of others that talk to the server.
///
/// # Errors
/// In CI, when something cannot be had.
pub(crate) fn for_conformance() -> Result<Provisions> {
    let mut provisions = Provisions::default();
    provisions.add("CONVNEXT_TEST_CURL", "plain curl as a client", program("curl", "curl"));
    let of_python = "huggingface_hub, tritonclient, requests and httpx as clients, HTTP/2 frame by frame";
    provisions.add("CONVNEXT_TEST_PYTHON", of_python, python("venv", "requirements.txt"));
    provisions.add("CONVNEXT_TEST_KSERVE", "KServe's clients", python("kserve", "kserve.txt"));
    provisions.add("CONVNEXT_TEST_SCHEMATHESIS", "schemathesis' judgement of /openapi.json", schemathesis());
    provisions.add("CONVNEXT_TEST_PERF_ANALYZER", "NVIDIA's perf_analyzer", perf_analyzer());
    provisions.add(
        "CONVNEXT_TEST_BUF",
        "gRPC by reflection",
        npm::unpacked(&BUF).map(|folder| folder.join("package/bin/buf")),
    );
    let of_apache = with_libraries("ab", "apache2-utils", &["libapr1", "libaprutil1"]);
    provisions.add("CONVNEXT_TEST_AB", "ApacheBench as a client", of_apache);
    let libraries = ["libnghttp2-14", "libev4", "libjansson4", "libjemalloc2", "libxml2"];
    let h2load = with_libraries("h2load", "nghttp2-client", &libraries);
    provisions.add("CONVNEXT_TEST_H2LOAD", "HTTP/2 with many streams", h2load);
    provisions.add("CONVNEXT_TEST_HAPROXY", "rolling restarts behind a proxy", haproxy());
    provisions.add("CONVNEXT_TEST_PROMTOOL", "promtool's judgement of /metrics and of rules", prometheus("promtool"));
    provisions.add("CONVNEXT_TEST_PROMETHEUS", "a Prometheus that scrapes", prometheus("prometheus"));
    provisions.add("CONVNEXT_TEST_CHROMIUM", "a browser that opens the page", program("chromium", "chromium"));
    provisions.add("CONVNEXT_TEST_CHROMEDRIVER", "what drives it", program("chromedriver", "chromium-driver"));
    provisions.add("CONVNEXT_TEST_NODE", "JavaScript as a client", program("node", "nodejs"));
    provisions.add(
        "CONVNEXT_TEST_AXE",
        "axe's judgement of the page",
        npm::unpacked(&AXE).map(|folder| folder.join("package/axe.min.js")),
    );
    let of_deploy = "Helm, kubectl and Docker Compose on what deploys the server";
    provisions.add("CONVNEXT_TEST_DEPLOY", of_deploy, python("deploy", "deploy.txt"));
    provisions.add("CONVNEXT_TEST_KUBERNETES_MODELS", "custom resources of Kubernetes", kubernetes_models());
    provisions.add("CONVNEXT_TEST_OPENSSL", "certificates for what deploys the server", program("openssl", "openssl"));
    let systemd = program("systemd-analyze", "systemd");
    provisions.add("CONVNEXT_TEST_SYSTEMD_ANALYZE", "systemd's judgement of its unit", systemd);
    provisions.checked()
}

/// Installs what builds container images.
///
/// # Errors
/// When it is missing, and cannot be installed.
pub(crate) fn buildah() -> Result<()> {
    program("buildah", "buildah").and(program("debootstrap", "debootstrap")).map(drop)
}

/// The variables by which tests find the container image, none of whom may be skipped.
pub(crate) fn with_image<'a>(tests: &'a mut Command, root: &Path) -> &'a mut Command {
    tests.env("CONVNEXT_TEST_IMAGE", root).env("CONVNEXT_TEST_REQUIRE_ALL", "1")
}

impl Provisions {
    /// Adds the container image, if it could be built.
    ///
    /// # Errors
    /// In CI, when it could not.
    pub(crate) fn add_image(&mut self, built: Result<PathBuf>) -> Result<()> {
        self.add("CONVNEXT_TEST_IMAGE", "the container image", built);
        self.missing.last().filter(|_| in_ci()).map_or(Ok(()), |missing| bail!("{missing}"))
    }

    fn add(&mut self, variable: &'static str, covers: &str, found: Result<PathBuf>) {
        match found {
            Ok(path) => self.environment.push((variable, path)),
            Err(why) => self.missing.push(format!("NOT COVERED: {covers}: {why:#}")),
        }
    }

    /// Tells at once what is missing.
    fn checked(self) -> Result<Self> {
        self.warn();
        if in_ci() && !self.missing.is_empty() {
            bail!("CI skips no test, and what they need could not be had (see above)");
        }
        Ok(self)
    }

    /// Tells a run of tests where everything is, and in CI that nothing may be skipped.
    pub(crate) fn give(&self, tests: &mut Command) {
        tests.envs(self.environment.iter().map(|(name, path)| (name, path)));
        if in_ci() {
            tests.env("CONVNEXT_TEST_REQUIRE_ALL", "1");
        }
    }

    /// Says loudly what is not covered.
    pub(crate) fn warn(&self) {
        for missing in &self.missing {
            eprintln!("\n{missing}");
        }
    }
}

/// The folder of Fashion-MNIST's four files.
fn fashion_mnist() -> Result<PathBuf> {
    const FOLDER: &str = "usr/share/datasets/fashion-mnist";
    let installed = Path::new("/").join(FOLDER);
    if installed.is_dir() { Ok(installed) } else { Ok(unpacked("dataset-fashion-mnist")?.join(FOLDER)) }
}

/// A program of Prometheus. The package is not installed because that would start a server.
fn prometheus(name: &str) -> Result<PathBuf> {
    match on_path(name) {
        Some(program) => Ok(program),
        None => Ok(unpacked("prometheus")?.join("usr/bin").join(name)),
    }
}

/// HAProxy, which asks servers whether they are ready. The package is not installed because that would start a service.
fn haproxy() -> Result<PathBuf> {
    match on_path("haproxy") {
        Some(program) => Ok(program),
        None => {
            let program = unpacked("haproxy")?.join("usr/sbin/haproxy");
            script("haproxy.sh", &program, &["liblua5.3-0", "libopentracing-c-wrapper0", "libopentracing1"], &[])
        }
    }
}

/// What asks for everything that an OpenAPI document says, in an environment of its own: it wants pytest and much else.
fn schemathesis() -> Result<PathBuf> {
    Ok(environment("schemathesis", &root().join("tests/conformance/openapi.txt"))?.join("bin/schemathesis"))
}

/// NVIDIA's load generator, from the last wheel of tritonclient that has it. It was linked to a library of base64 and to CUDA's runtime, which it does not use without shared memory.
fn perf_analyzer() -> Result<PathBuf> {
    let requirements = root().join("tests/conformance/perf_analyzer.txt");
    let environment = environment("perf-analyzer", &requirements)?;
    let cuda = packages(&environment)?.join("nvidia/cuda_runtime/lib");
    script("perf_analyzer", &environment.join("bin/perf_analyzer"), &["libb64-0d"], &[cuda])
}

/// The folders of types, as paths are joined in a variable.
fn kubernetes_models() -> Result<PathBuf> {
    let packages = KUBERNETES_MODELS.iter().map(|package| Ok(npm::unpacked(package)?.join("package")));
    Ok(std::env::join_paths(packages.collect::<Result<Vec<_>>>()?)?.into())
}

/// A Python with the packages of a file of `tests/conformance`.
fn python(name: &str, requirements: &str) -> Result<PathBuf> {
    Ok(environment(name, &root().join("tests/conformance").join(requirements))?.join("bin/python"))
}
