//! Web configuration files, good and bad, against what must be said of them.
//!
//! Each file in `fixtures/web-config` has another beside it with the text expected. Certificates and keys are
//! made for the run. `UPDATE_EXPECTED=1 cargo test --test web_config` writes the expected texts anew.

#![expect(clippy::unwrap_used, reason = "these are tests, their helpers too")]

mod exporter;
mod web_support;

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use exporter::{Finished, command, run};
use web_support::pki::{Ca, loopback};

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/web-config");

/// The hash of a password, at the least cost.
static HASH: LazyLock<String> = LazyLock::new(|| bcrypt::hash("s3cret", 4).unwrap());

/// What no error may show.
const SECRETS: [&str; 4] = ["s3cret", "czNjcmV0", "PRIVATE KEY", "$2"];

/// A folder with everything that the fixtures name.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let ca = Ca::new("clients");
    let write = |name: &str, text: &str| fs::write(path.join(name), text).unwrap();
    ca.issue(&loopback()).write(path, "");
    ca.issue(&loopback()).write(path, "other-");
    write("ca.pem", &ca.pem);
    write("empty.pem", "");
    write("garbage.pem", "s3cret-s3cret\n");
    for (name, label) in [
        ("garbage-inside", "CERTIFICATE"),
        ("garbage-key", "PRIVATE KEY"),
    ] {
        let text = format!("-----BEGIN {label}-----\nczNjcmV0\n-----END {label}-----\n");
        write(&format!("{name}.pem"), &text);
    }
    let label = "ENCRYPTED PRIVATE KEY";
    write(
        "encrypted-key.pem",
        &format!("-----BEGIN {label}-----\nczNjcmV0\n-----END {label}-----\n"),
    );
    let rsa = rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap();
    let params = rcgen::CertificateParams::new(vec!["localhost".into()]).unwrap();
    write("rsa-cert.pem", &params.self_signed(&rsa).unwrap().pem());
    write("rsa-key.pem", &rsa.serialize_pem());
    folder
}

/// The fixture's text with what was made for this run.
fn filled(text: &str, folder: &Path) -> String {
    let mut text = text
        .replace("@DIR@", folder.to_str().unwrap())
        .replace("@HASH@", &HASH)
        .replace("@COSTLY@", &HASH.replace("$04$", "$31$"));
    for name in ["cert.pem", "key.pem", "other-key.pem"] {
        let placeholder = format!("@{name}@");
        if text.contains(&placeholder) {
            let pem = fs::read_to_string(folder.join(name)).unwrap();
            text = text.replace(&placeholder, &pem.trim().replace('\n', "\n    "));
        }
    }
    text
}

fn fixtures(kind: &str, extension: &str) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(Path::new(FIXTURES).join(kind))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension() == Some(OsStr::new(extension)))
        .collect();
    files.sort();
    files
}

/// Checks a fixture as an operator would, and gives what was said of it.
fn check(fixture: &Path, folder: &Path) -> Finished {
    let file = folder.join(fixture.file_name().unwrap());
    if fixture.exists() {
        let text = fs::read_to_string(fixture).unwrap();
        fs::write(&file, filled(&text, folder)).unwrap();
    }
    run(command().args(["web-config", "check"]).arg(&file))
}

/// Compares what was said with what stands beside the fixture.
fn compare(said: &str, expected: &Path, folder: &Path, differing: &mut Vec<String>) {
    let said = said.replace(folder.to_str().unwrap(), "DIR");
    if env::var_os("UPDATE_EXPECTED").is_some() {
        fs::write(expected, &said).unwrap();
    }
    let expected_text = fs::read_to_string(expected).unwrap_or_default();
    if said != expected_text {
        let name = expected.file_name().unwrap().display();
        differing.push(format!("{name}\nsaid:     {said}expected: {expected_text}"));
    }
}

#[test]
fn good_files_are_told_back() {
    let folder = folder();
    let mut differing = Vec::new();
    let fixtures = fixtures("good", "yml");
    assert!(fixtures.len() >= 15);
    for fixture in fixtures {
        let finished = check(&fixture, folder.path());
        assert_eq!(finished.code, Some(0), "{fixture:?}: {}", finished.stderr);
        assert_eq!(finished.stderr, "");
        let expected = fixture.with_extension("txt");
        compare(&finished.stdout, &expected, folder.path(), &mut differing);
    }
    assert!(differing.is_empty(), "{}", differing.join("\n"));
}

#[test]
fn bad_files_are_refused_in_one_line_that_says_where_and_why() {
    let folder = folder();
    let mut differing = Vec::new();
    let fixtures = fixtures("bad", "error");
    assert!(fixtures.len() >= 60);
    for expected in fixtures {
        let finished = check(&expected.with_extension("yml"), folder.path());
        assert_eq!(finished.code, Some(64), "{expected:?}");
        assert_eq!(finished.stdout, "", "{expected:?}");
        let error = finished.stderr;
        assert_eq!(error.lines().count(), 1, "{error}");
        for secret in SECRETS {
            assert!(!error.contains(secret), "{secret} is shown in {error}");
        }
        compare(&error, &expected, folder.path(), &mut differing);
    }
    assert!(differing.is_empty(), "{}", differing.join("\n"));
}

#[test]
fn every_bad_file_has_its_expected_error() {
    for fixture in fixtures("bad", "yml") {
        assert!(fixture.with_extension("error").exists(), "{fixture:?}");
    }
}

#[test]
fn the_daemon_refuses_to_start_with_what_the_check_refuses() {
    let folder = folder();
    let fixture = Path::new(FIXTURES).join("bad/key_of_another.yml");
    let checked = check(&fixture, folder.path());
    let file = folder.path().join("key_of_another.yml");
    let started = run(command()
        .args(["--source=demo", "--web.listen-address=127.0.0.1:0"])
        .arg("--web.config.file")
        .arg(&file));
    assert_eq!(started.code, Some(64), "{}", started.stderr);
    let said = checked.stderr.trim_end();
    assert!(
        started.stderr.contains(said),
        "{said} in {}",
        started.stderr
    );
    assert!(!started.stderr.contains("listening"), "{}", started.stderr);
}

#[cfg(unix)]
#[test]
fn a_file_that_may_not_be_read_is_told() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = folder();
    let key = folder.path().join("key.pem");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o0)).unwrap();
    if fs::read(&key).is_ok() {
        // Root reads everything.
        return;
    }
    let finished = check(&Path::new(FIXTURES).join("good/tls.yml"), folder.path());
    assert_eq!(finished.code, Some(64));
    assert!(
        finished.stderr.contains("ermission denied"),
        "{}",
        finished.stderr
    );
}
