//! Laws of reading the file, whatever stands in it.

use proptest::{collection::vec, prelude::*, sample::select};

use super::*;

/// Reads a text as if it stood in a file, in a folder where there is nothing.
fn read_text(text: &str) -> Result<WebConfig, YamlError> {
    let file = yaml::parse(text)?;
    checked(&file, Path::new("/nonexistent"), &mut Sources::default())
}

/// What was said of a text, which must be one line without anything that drives a terminal.
fn said(text: &str) -> Result<Option<String>, TestCaseError> {
    let Err(error) = read_text(text) else {
        return Ok(None);
    };
    let said = error.to_string();
    prop_assert!(!said.is_empty());
    prop_assert!(!said.contains(char::is_control), "{:?}", said);
    Ok(Some(said))
}

/// Something that the file may hold.
fn fragment() -> impl Strategy<Value = String> {
    const KNOWN: [&str; 31] = [
        "tls_server_config",
        "http_server_config",
        "basic_auth_users",
        "rate_limit",
        "cert",
        "cert_file",
        "key",
        "key_file",
        "client_ca",
        "client_auth_type",
        "client_allowed_sans",
        "min_version",
        "cipher_suites",
        "curve_preferences",
        "prefer_server_cipher_suites",
        "http2",
        "headers",
        "X-Frame-Options",
        "interval",
        "burst",
        "RequireAndVerifyClientCert",
        "TLS12",
        "X25519",
        "deny",
        "1s",
        "true",
        "null",
        "12",
        "$2y$10$",
        "-----BEGIN PRIVATE KEY-----",
        "-----END PRIVATE KEY-----",
    ];
    const SYNTAX: [&str; 26] = [
        ":",
        ": ",
        "\n",
        "\n  ",
        "\n    ",
        "\n- ",
        "  - ",
        "[",
        "]",
        "{",
        "}",
        ", ",
        "\"",
        "'",
        "|\n",
        ">-\n",
        "&a ",
        "*a",
        "<<: ",
        "!!binary ",
        "!x ",
        "---\n",
        "...\n",
        "# ",
        "\t",
        "\u{feff}",
    ];
    prop_oneof![
        2 => select(&KNOWN[..]).prop_map(str::to_owned),
        3 => select(&SYNTAX[..]).prop_map(str::to_owned),
        1 => any::<String>(),
    ]
}

/// The ways to write a secret down, sound and broken.
fn written(secret: &str) -> impl Strategy<Value = String> + use<> {
    let ways = [
        secret.to_owned(),
        format!("\"{secret}\""),
        format!("'{secret}'"),
        format!("\"{secret}"),
        format!("'{secret}"),
        format!("\"\\x{secret}\""),
        format!("|\n      {secret}\n      {secret}"),
        format!(">-\n      {secret}"),
        format!("[{secret}]"),
        format!("[{secret}, {secret}"),
        format!("{{a: {secret}}}"),
        format!("{{a: {secret}"),
        format!("&a {secret}"),
        format!("!!binary {secret}"),
        format!("!!int {secret}"),
        format!("\n      - {secret}"),
        format!("$2y$10${secret}"),
        format!(
            "|\n      -----BEGIN PRIVATE KEY-----\n      {secret}\n      -----END PRIVATE KEY-----"
        ),
        format!(
            "|\n      -----BEGIN CERTIFICATE-----\n      {secret}\n      -----END CERTIFICATE-----"
        ),
    ];
    select(ways.to_vec())
}

fn secret() -> impl Strategy<Value = (String, String, String)> {
    "s3cret[a-zA-Z0-9/+.]{0,50}".prop_flat_map(|secret| {
        let ways = (written(&secret), written(&secret));
        (Just(secret), ways).prop_map(|(secret, (one, other))| (secret, one, other))
    })
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused_in_one_line(text in any::<String>()) {
        said(&text)?;
    }

    #[test]
    fn nearly_sound_text_is_read_or_refused_in_one_line(parts in vec(fragment(), 0..30)) {
        said(&parts.concat())?;
    }

    #[test]
    fn no_secret_is_shown((secret, one, other) in secret(), before in "(http2: x\n|rate_limit: 1\n|# x\n)?") {
        for text in [
            format!("{before}basic_auth_users:\n  alice: {one}\n  bob: {other}\n"),
            format!("{before}tls_server_config:\n  cert: {one}\n  key: {other}\n"),
            format!("{before}tls_server_config:\n  key: {one}\n  client_ca: {other}\n"),
            format!("{before}basic_auth_users: {one}\n"),
            format!("basic_auth_users:\n  alice: {one}\n{before}rate_limit: {other}\n"),
        ] {
            let config = read_text(&text);
            let shown = format!("{config:?}");
            prop_assert!(!shown.contains(&secret), "{}", shown);
            if let Some(said) = said(&text)? {
                prop_assert!(!said.contains(&secret), "{} of {}", said, text);
            }
        }
    }
}
