//! Whatever a report file holds, parsing ends with a report or an error, and what it gives holds
//! together.

#![no_main]

use std::collections::HashSet;

use iam_key_exporter_fuzz::source::report::parse;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(report) = parse(bytes) else {
        return;
    };
    let mut names = HashSet::new();
    for row in &report.rows {
        assert!(!row.user.is_empty());
        assert!(names.insert(&row.user), "a user comes twice");
        let user = row.to_user();
        assert_eq!(user.is_read(), row.is_read);
        assert_eq!(user.keys.len(), row.keys().count());
    }
    // Whose a user is, is known.
    assert!(report.owner.is_some() || report.rows.is_empty());
    for defect in &report.defects {
        let text = format!("{defect:?}");
        assert!(!text.is_empty());
    }
    // The same bytes give the same report.
    assert_eq!(parse(bytes).as_ref(), Ok(&report));
});
