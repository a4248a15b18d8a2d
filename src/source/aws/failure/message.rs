//! What went wrong, on one line for a person and without secrets.

use std::error::Error;

use aws_config::meta::ProviderChainError;
use aws_credential_types::provider::error::CredentialsError;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_types::error::metadata::ErrorMetadata;

use super::NotWhole;

/// AWS's code and message, or its HTTP status where it gave neither.
pub(super) fn service_message(meta: &ErrorMetadata, response: &HttpResponse) -> String {
    match (meta.code(), meta.message()) {
        // This message quotes the signed request, session token included.
        (Some("SignatureDoesNotMatch"), _) => {
            "SignatureDoesNotMatch: the secret access key is wrong, or a proxy changed the request"
                .into()
        }
        (Some(code), Some(message)) => format!("{code}: {message}"),
        (Some(code), None) => code.to_owned(),
        (None, _) => format!(
            "HTTP {} with an answer that is not AWS's",
            response.status().as_u16()
        ),
    }
}

/// The last two messages of a chain: the SDK's outer ones only say "dispatch failure".
pub(super) fn innermost(error: &(dyn Error + 'static)) -> String {
    if let Some(text) = no_credentials(error) {
        return text;
    }
    let mut texts = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let text = error.to_string();
        if error.is::<NotWhole>() {
            return text;
        }
        if texts.last() != Some(&text) {
            texts.push(text);
        }
        next = error.source();
    }
    texts.split_off(texts.len().saturating_sub(2)).join(": ")
}

/// Where the SDK looked for credentials in vain, and what it met there; its own account of that takes
/// a line for each place.
fn no_credentials(error: &(dyn Error + 'static)) -> Option<String> {
    let chain = std::iter::successors(Some(error), |error| (*error).source())
        .find_map(|error| error.downcast_ref::<ProviderChainError<CredentialsError>>())?;
    let places: Vec<String> = chain
        .attempts()
        .iter()
        .map(|attempt| match attempt.error().source() {
            Some(why) => format!("{}: {}", attempt.name(), discreet(&why.to_string())),
            None => format!("{}: nothing", attempt.name()),
        })
        .collect();
    Some(format!("no credentials found ({})", places.join("; ")))
}

/// The SDK's text without what may be secret: a credential process that traces its own commands
/// writes the credentials to its standard error.
pub(super) fn discreet(text: &str) -> String {
    let text = match text.split_once(" Stderr: ") {
        Some((before, _)) => format!("{before} Run it by hand to see why"),
        None => text.to_owned(),
    };
    // The SDK's account of an endpoint it can't use holds the whole request, and the endpoint as it
    // was given, which may have a password in it.
    if text.contains("failed to apply endpoint") || text.contains("to request `Request") {
        return "the endpoint is no URL; AWS_ENDPOINT_URL needs http:// or https:// and a host"
            .into();
    }
    text
}

/// The text on one line and not longer than a log line should be.
pub(super) fn one_line(text: &str) -> String {
    const MOST: usize = 400;
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}
