//! Whatever a web configuration file holds, checking it ends with a configuration or with one line
//! that shows no secret.

#![no_main]

use std::{path::PathBuf, sync::LazyLock};

use iam_key_exporter_fuzz::web::config::validate;
use libfuzzer_sys::fuzz_target;

/// What stands for a secret in a file: no error may repeat it.
const SECRET: &str = "hush-hush";

/// Whether it is in a place of secrets only. Elsewhere it may be the name of a field, or one word of
/// few that are allowed, and these are told.
fn is_secret(text: &str) -> bool {
    text.lines()
        .filter(|line| line.contains(SECRET))
        .all(|line| {
            let place = line.trim_start().split_once(": ");
            place.is_some_and(|(field, value)| {
                ["key", "cert", "client_ca", "alice"].contains(&field)
                    && value.matches(SECRET).count() == 1
                    && value.ends_with(SECRET)
                    && !value.contains([':', '{', '[', ',', '#', '"', '\'', '&', '*'])
            })
        })
}

/// A folder of this process alone, in memory where that can be had.
static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
    let memory = PathBuf::from("/dev/shm");
    let base = if memory.is_dir() {
        memory
    } else {
        std::env::temp_dir()
    };
    let folder = base.join(format!("web-config-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder can be made");
    for (name, content) in [
        ("cert.pem", include_str!("tls/cert.pem")),
        ("key.pem", include_str!("tls/key.pem")),
        ("secret", SECRET),
    ] {
        std::fs::write(folder.join(name), content).expect("a file can be written");
    }
    folder
});

fuzz_target!(|bytes: &[u8]| {
    let path = FOLDER.join("web.yml");
    std::fs::write(&path, bytes).expect("a file can be written");
    if let Err(error) = validate(&path) {
        let mut told = error.to_string();
        let mut cause = std::error::Error::source(&error);
        while let Some(error) = cause {
            told.push_str(&error.to_string());
            cause = error.source();
        }
        assert!(
            !told.contains(['\n', '\r', '\u{1b}']),
            "more than one line: {told:?}"
        );
        let text = String::from_utf8_lossy(bytes);
        if is_secret(&text) {
            assert!(!told.contains(SECRET), "a secret is told: {told:?}");
        }
    }
});
