//! Whatever a client accepts, a format and an encoding are chosen, and only one that it may get.

#![no_main]

use iam_key_exporter_fuzz::{
    metrics::exposition::Encoding,
    web::negotiation::{encoding, format},
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|header: &str| {
    let chosen = format(Some(header));
    assert!(!chosen.content_type().is_empty());
    assert_eq!(format(Some(header)), chosen);
    let named = header.to_ascii_lowercase();
    if encoding(Some(header)) == Encoding::Gzip {
        // Nobody is sent gzip who named neither it nor anything.
        assert!(named.contains("gzip") || named.contains('*'));
    }
    // Text is what a client gets who doesn't name the other.
    if !named.contains("openmetrics-text") {
        assert_eq!(chosen, format(None));
    }
});
