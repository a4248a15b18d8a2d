//! Where the real parts are. A test that lacks one fails: a test that passes without running is worse than none.

use std::path::{Path, PathBuf};

/// The interpreter that holds moto and prometheus-client.
pub(crate) fn python() -> PathBuf {
    present(
        env_path("IAM_KEY_EXPORTER_TEST_VENV", "target/venv").join("bin/python"),
        "a Python with moto and prometheus-client",
    )
}

/// The directory of the AWS CLI.
pub(crate) fn aws_cli() -> PathBuf {
    let bin = env_path("IAM_KEY_EXPORTER_TEST_VENV", "target/venv").join("bin");
    present(bin.join("aws"), "the AWS CLI");
    bin
}

/// A program of Prometheus or Alertmanager. Prometheus is a parameter, for the tests are run with more than one;
/// promtool lies beside it.
pub(crate) fn tool(name: &str) -> PathBuf {
    let programs = env_path("IAM_KEY_EXPORTER_TEST_TOOLS", "target/tools").join("bin");
    let program = match (std::env::var_os("IAM_KEY_EXPORTER_TEST_PROMETHEUS"), name) {
        (Some(prometheus), "prometheus" | "promtool") => {
            Path::new(&prometheus).with_file_name(name)
        }
        _ => programs.join(name),
    };
    present(program, name)
}

/// The folder of the packages that look at pages in a browser.
pub(crate) fn node_packages() -> PathBuf {
    let folder = env_path("IAM_KEY_EXPORTER_TEST_TOOLS", "target/tools").join("page");
    present(
        folder.join("node_modules/playwright-core"),
        "playwright-core",
    );
    folder
}

/// A file of the repository.
pub(crate) fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn env_path(variable: &str, default: &str) -> PathBuf {
    std::env::var_os(variable).map_or_else(|| repository(default), PathBuf::from)
}

fn present(path: PathBuf, what: &str) -> PathBuf {
    assert!(
        path.exists(),
        "this test needs {what} at {}: run tests/real/setup, or `make test`, which does",
        path.display()
    );
    path
}
