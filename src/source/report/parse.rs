//! From bytes to rows.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
};

use csv::StringRecord;

use super::{
    Defect, ParseError, Problem, Report, Row, SlotRow,
    columns::Columns,
    field::{A_TIME, A_TIME_OR_NONE, ABSENT, Field, ROOT, boolean, names, path, time},
    text::{newlines, text},
};
use crate::{
    inventory::{Listing, RootKeys},
    key::{ArnOwner, LastUse, UsedAt},
    reason::Reason,
};

/// Longer values than this are shortened in messages.
const SHOWN_CHARS: usize = 40;

/// Parses a credential report.
///
/// A row that makes no sense costs its user, not the report: the user comes out unread. If not even
/// the user can be told, or rows may have been lost, the listing counts as truncated.
pub fn parse(bytes: &[u8]) -> Result<Report, ParseError> {
    let text = text(bytes)?;
    let mut reader = csv::ReaderBuilder::new()
        .flexible(true)
        .from_reader(text.as_bytes());
    let header = reader.headers().map_err(unreadable)?.clone();
    // No column's name has one, so an open quote swallowed rows.
    if header.iter().any(|column| column.contains(['\n', '\r'])) {
        return Err(ParseError::LineInHeader);
    }
    let mut rows = Rows::new(text, Columns::find(&header)?);
    let mut record = StringRecord::new();
    while reader.read_record(&mut record).map_err(unreadable)? {
        // Reports put one after the other repeat the header.
        if record != header {
            let is_last = reader.is_done() || reader.position().byte() == text.len() as u64;
            rows.take(&record, is_last)?;
        }
    }
    rows.finish()
}

#[expect(clippy::needless_pass_by_value, reason = "it is given to map_err")]
fn unreadable(error: csv::Error) -> ParseError {
    ParseError::Csv(error.to_string())
}

/// The rows so far.
struct Rows<'a> {
    text: &'a str,
    columns: Columns,
    report: Report,
    /// The start of every ARN of the account, up to the colon after its id.
    arn_prefix: String,
    places: HashMap<Arc<str>, usize>,
    first_line: Option<u64>,
    /// A byte of the text and the line it is on, to count on from.
    counted: (usize, u64),
}

impl<'a> Rows<'a> {
    fn new(text: &'a str, columns: Columns) -> Self {
        Self {
            text,
            columns,
            report: Report {
                owner: None,
                root: RootKeys::default(),
                rows: Vec::new(),
                listing: Listing::Complete,
                defects: Vec::new(),
            },
            arn_prefix: String::new(),
            places: HashMap::new(),
            first_line: None,
            counted: (0, 1),
        }
    }

    fn finish(self) -> Result<Report, ParseError> {
        match (&self.report.owner, self.first_line) {
            (None, Some(line)) => Err(ParseError::NoArn { line }),
            _ => Ok(self.report),
        }
    }

    fn take(&mut self, record: &StringRecord, is_last: bool) -> Result<(), ParseError> {
        let line = self.line_of(record);
        self.first_line.get_or_insert(line);
        let user = record.get(self.columns.user).unwrap_or_default();
        let arn = record.get(self.columns.arn).unwrap_or_default();
        let is_known = names(arn, user);
        // AWS writes no end of line into any field, so one that is there was swallowed by an open
        // quote, and rows with it; save that it is part of a name which the ARN repeats.
        if record.as_slice().contains('\n') && !(is_known && self.only_names_hold_lines(record)) {
            self.defect(line, Problem::LineInField);
            self.truncated();
        }
        if record.len() != self.columns.count {
            let cut = is_last && !self.text.ends_with('\n');
            if cut || !is_known {
                self.truncated();
            }
            self.defect(
                line,
                Problem::Fields {
                    found: record.len(),
                    expected: self.columns.count,
                    cut,
                },
            );
            if self.own(arn, line)? && is_known && user != ROOT {
                let path = path(arn, user).into();
                let user = user.into();
                self.add(
                    Row {
                        user,
                        path,
                        created: None,
                        slots: [None, None],
                        is_read: false,
                    },
                    line,
                );
            }
            return Ok(());
        }
        let has_owner = self.own(arn, line)?;
        if user == ROOT {
            self.report.root = self.root(record, line);
            return Ok(());
        }
        if user.is_empty() {
            self.bad_value(line, "user", user, "a user name");
            self.truncated();
            return Ok(());
        }
        if !has_owner {
            self.bad_value(line, "arn", arn, "the user's ARN");
        }
        let mut row = self.row(record, user, line);
        row.is_read &= has_owner;
        self.add(row, line);
        Ok(())
    }

    fn only_names_hold_lines(&self, record: &StringRecord) -> bool {
        record.iter().enumerate().all(|(place, field)| {
            place == self.columns.user || place == self.columns.arn || !field.contains('\n')
        })
    }

    /// Notes the account of a row: false where its ARN can't be read.
    fn own(&mut self, arn: &str, line: u64) -> Result<bool, ParseError> {
        if !self.arn_prefix.is_empty() && arn.starts_with(&self.arn_prefix) {
            return Ok(true);
        }
        let Ok(owner) = arn.parse::<ArnOwner>() else {
            return Ok(false);
        };
        match &self.report.owner {
            Some(first) if first.account != owner.account => Err(ParseError::SeveralAccounts {
                line,
                first: first.account,
                second: owner.account,
            }),
            Some(first) => Ok(*first == owner),
            None => {
                let end: usize = arn.split_inclusive(':').take(5).map(str::len).sum();
                arn[..end].clone_into(&mut self.arn_prefix);
                self.report.owner = Some(owner);
                Ok(true)
            }
        }
    }

    /// Adds a user, the newest of a name: a user who was deleted and created again has two rows.
    fn add(&mut self, row: Row, line: u64) {
        let rows = &mut self.report.rows;
        let place = match self.places.entry(Arc::clone(&row.user)) {
            Entry::Vacant(vacant) => {
                vacant.insert(rows.len());
                rows.push(row);
                return;
            }
            Entry::Occupied(occupied) => *occupied.get(),
        };
        let first = &mut rows[place];
        match (first.created, row.created) {
            (Some(old), Some(new)) if new > old => *first = row,
            (Some(old), Some(new)) if new < old => {}
            _ if *first == row => {}
            _ => {
                first.is_read = false;
                self.defect(line, Problem::SameUser);
            }
        }
    }

    fn row(&mut self, record: &StringRecord, user: &str, line: u64) -> Row {
        let defects = self.report.defects.len();
        let created = self
            .columns
            .created
            .and_then(|column| match time(&record[column]) {
                Field::Value(time) => Some(time),
                Field::Absent => None,
                Field::Garbled => {
                    self.bad_value(line, "user_creation_time", &record[column], A_TIME);
                    None
                }
            });
        let slots = [self.slot(record, 0, line), self.slot(record, 1, line)];
        let arn = record.get(self.columns.arn).unwrap_or_default();
        Row {
            user: user.into(),
            path: path(arn, user).into(),
            created,
            slots,
            is_read: self.report.defects.len() == defects,
        }
    }

    /// The key in a slot; none if there is none or it can't be read, which is noted.
    fn slot(&mut self, record: &StringRecord, index: usize, line: u64) -> Option<SlotRow> {
        let columns = &self.columns.slots[index];
        let (slot, column) = (columns.slot, columns.names);
        let active_field = &record[columns.active];
        let rotated_field = &record[columns.last_rotated];
        let used_field = columns.used_date.map(|used| &record[used]);
        let region = columns
            .used_region
            .map_or(ABSENT[0], |place| &record[place]);
        let service = columns
            .used_service
            .map_or(ABSENT[0], |place| &record[place]);

        let active = boolean(active_field);
        if active.is_none() {
            self.bad_value(line, column.active, active_field, "true or false");
        }
        let last_use = match used_field.map(|field| (field, time(field))) {
            Some((_, Field::Value(time))) => LastUse::At(UsedAt::new(time, service, region)),
            // "N/A (not applicable)": there is no key, or it has not been used since IAM began to
            // keep track on April 22, 2015. That, and nothing else, is AWS saying never; the guide
            // gives no meaning to the other two in this column.
            Some(("N/A", Field::Absent)) => LastUse::Never,
            Some((_, Field::Absent)) | None => LastUse::Unknown,
            Some((field, Field::Garbled)) => {
                self.bad_value(line, column.used_date, field, A_TIME_OR_NONE);
                LastUse::Unknown
            }
        };
        match time(rotated_field) {
            Field::Value(last_rotated) => Some(SlotRow {
                slot,
                active: active?,
                last_rotated,
                last_use,
            }),
            // An inactive key keeps its date, so no date means no key, unless something else shows
            // that there is one.
            Field::Absent => {
                if active == Some(true) || matches!(last_use, LastUse::At(_)) {
                    self.defect(
                        line,
                        Problem::NoDate {
                            column: column.last_rotated,
                        },
                    );
                }
                None
            }
            Field::Garbled => {
                self.bad_value(line, column.last_rotated, rotated_field, A_TIME_OR_NONE);
                None
            }
        }
    }

    /// What the root user's row says. What it says wrongly stays unknown.
    fn root(&mut self, record: &StringRecord, line: u64) -> RootKeys {
        let mut active = Some(0);
        let mut present = Some(false);
        for index in 0..2 {
            let columns = &self.columns.slots[index];
            let (name, active_field) = (columns.names.active, &record[columns.active]);
            let is_active = boolean(active_field);
            let has_date = time(&record[columns.last_rotated]);
            if is_active.is_none() {
                self.bad_value(line, name, active_field, "true or false");
            }
            active = active
                .zip(is_active)
                .map(|(count, is_active)| count + u32::from(is_active));
            let is_present = match (is_active, has_date) {
                (Some(true), _) | (_, Field::Value(_)) => Some(true),
                (Some(false), Field::Absent) => Some(false),
                (Some(false), Field::Garbled) | (None, _) => None,
            };
            present = match (present, is_present) {
                (Some(true), _) | (_, Some(true)) => Some(true),
                (Some(false), Some(false)) => Some(false),
                _ => None,
            };
        }
        RootKeys { active, present }
    }

    fn truncated(&mut self) {
        self.report.listing = Listing::Truncated(Reason::MalformedResponse);
    }

    fn defect(&mut self, line: u64, problem: Problem) {
        self.report.defects.push(Defect { line, problem });
    }

    fn bad_value(&mut self, line: u64, column: &'static str, value: &str, allowed: &'static str) {
        let mut shown: String = value.chars().take(SHOWN_CHARS).collect();
        if shown.len() < value.len() {
            shown.push('…');
        }
        self.defect(
            line,
            Problem::Value {
                column,
                value: shown.escape_debug().to_string(),
                allowed,
            },
        );
    }

    /// The line that a record begins on. The reader's own count is that of the line before where
    /// lines end in CRLF or are empty.
    fn line_of(&mut self, record: &StringRecord) -> u64 {
        let start = record
            .position()
            .and_then(|position| usize::try_from(position.byte()).ok())
            .unwrap_or_default();
        let bytes = self.text.as_bytes();
        let empty = bytes[start..]
            .iter()
            .take_while(|byte| matches!(byte, b'\r' | b'\n'))
            .count();
        let (from, line) = self.counted;
        self.counted = (start + empty, line + newlines(&bytes[from..start + empty]));
        self.counted.1
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use chrono::{DateTime, Utc};
    use proptest::prelude::*;

    use super::*;
    use crate::{
        inventory::Reading,
        key::{KeyName, KeyStatus, Slot},
        source::report::Fingerprint,
    };

    const REPORT: &str = include_str!("../../../tests/fixtures/credential-report.csv");
    const HEADER: &str = "user,arn,user_creation_time,\
        access_key_1_active,access_key_1_last_rotated,access_key_1_last_used_date,\
        access_key_1_last_used_region,access_key_1_last_used_service,\
        access_key_2_active,access_key_2_last_rotated,access_key_2_last_used_date,\
        access_key_2_last_used_region,access_key_2_last_used_service";
    const NO_KEY: &str = "false,N/A,N/A,N/A,N/A";
    const OLD_KEY: &str = "true,2024-01-01T00:00:00Z,N/A,N/A,N/A";

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    /// A row whose every other field is in order.
    fn line(user: &str, one: &str, two: &str) -> String {
        format!("{user},arn:aws:iam::111122223333:user/{user},2023-01-01T00:00:00Z,{one},{two}\n")
    }

    fn report(rows: &str) -> Report {
        parse(format!("{HEADER}\n{rows}").as_bytes()).unwrap()
    }

    fn user<'a>(report: &'a Report, name: &str) -> &'a Row {
        report.rows.iter().find(|row| &*row.user == name).unwrap()
    }

    fn defects(report: &Report) -> Vec<String> {
        report.defects.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn every_kind_of_row_of_a_whole_report_is_understood() {
        let report = parse(REPORT.as_bytes()).unwrap();
        assert_eq!(defects(&report), Vec::<String>::new());
        assert_eq!(report.listing, Listing::Complete);
        assert_eq!(
            report.owner.as_ref().unwrap().account.as_str(),
            "111122223333"
        );
        assert_eq!(
            report.root,
            RootKeys {
                active: Some(1),
                present: Some(true)
            }
        );
        let names: Vec<_> = report.rows.iter().map(|row| &*row.user).collect();
        assert_eq!(
            names,
            [
                "ci-deploy",
                "backup-agent",
                "alice",
                "billing,export",
                "log-reader"
            ]
        );

        let deploy = user(&report, "ci-deploy").to_user();
        assert_eq!(deploy.reading, Reading::Complete);
        let [old, new] = &deploy.keys[..] else {
            panic!("{deploy:?}")
        };
        assert_eq!(old.name, KeyName::Slot(Slot::One));
        assert_eq!(old.status, KeyStatus::Active);
        assert_eq!(old.created, at("2024-03-01T08:00:00Z"));
        let LastUse::At(used) = &old.last_use else {
            panic!("{old:?}")
        };
        assert_eq!(used.time, at("2024-06-30T11:30:00Z"));
        assert_eq!((used.service(), used.region()), ("s3", "eu-central-1"));
        assert_eq!(new.name, KeyName::Slot(Slot::Two));
        assert_eq!(new.last_use, LastUse::Never);

        let backup = user(&report, "backup-agent").to_user();
        assert_eq!(backup.keys.len(), 1, "an inactive key keeps its date");
        assert_eq!(backup.keys[0].status, KeyStatus::Inactive);

        assert_eq!(user(&report, "alice").keys().count(), 0);
        let billing = user(&report, "billing,export").slots[1].as_ref().unwrap();
        assert_eq!(billing.last_rotated, at("2024-04-02T10:00:00Z"));
        let LastUse::At(used) = &billing.last_use else {
            panic!("{billing:?}")
        };
        assert_eq!(used.time, at("2024-06-29T23:59:59.5Z"));
    }

    #[test]
    fn a_byte_order_mark_carriage_returns_and_other_columns_change_nothing() {
        let plain = parse(REPORT.as_bytes()).unwrap();
        let crlf = REPORT.replace('\n', "\r\n");
        assert_eq!(parse(format!("\u{feff}{crlf}").as_bytes()).unwrap(), plain);
        assert_eq!(parse(REPORT.trim_end().as_bytes()).unwrap(), plain);
        let more = REPORT
            .lines()
            .enumerate()
            .map(|(n, line)| format!("extra_{n},{line}, \"new\"\n"))
            .collect::<Vec<_>>()
            .concat();
        let more = more.replacen("extra_0", "extra", 1);
        assert_eq!(parse(more.as_bytes()).unwrap(), plain);
        let twice = format!("{REPORT}{REPORT}");
        assert_eq!(parse(twice.as_bytes()).unwrap(), plain);
    }

    #[test]
    fn only_n_a_means_never_used() {
        for (field, last_use) in [
            ("N/A", LastUse::Never),
            ("no_information", LastUse::Unknown),
            ("not_supported", LastUse::Unknown),
        ] {
            let key = format!("true,2024-01-01T00:00:00Z,{field},N/A,N/A");
            let report = report(&line("a", &key, NO_KEY));
            assert_eq!(report.defects, []);
            let key = report.rows[0].slots[0].as_ref().unwrap();
            assert_eq!(key.last_use, last_use, "{field}");
        }
    }

    #[test]
    fn without_the_columns_that_can_be_lived_with_last_use_is_unknown() {
        let text = "access_key_2_last_rotated,access_key_2_active,access_key_1_last_rotated,\
             access_key_1_active,arn,user\n\
             N/A,false,2024-01-01T00:00:00Z,true,arn:aws-cn:iam::111122223333:user/a,a\n";
        let report = parse(text.as_bytes()).unwrap();
        assert_eq!(report.rows[0].created, None);
        let key = report.rows[0].slots[0].as_ref().unwrap();
        assert_eq!(key.last_use, LastUse::Unknown);
        assert!(report.rows[0].is_read);
        assert_eq!(&*report.owner.unwrap().partition, "aws-cn");
        assert_eq!(report.root, RootKeys::default());
    }

    #[test]
    fn each_needed_column_that_is_missing_is_named() {
        for needed in [
            "user",
            "arn",
            "access_key_1_active",
            "access_key_1_last_rotated",
            "access_key_2_active",
            "access_key_2_last_rotated",
        ] {
            let header = HEADER
                .split(',')
                .map(|column| if column == needed { "other" } else { column })
                .collect::<Vec<_>>()
                .join(",");
            let error = parse(header.as_bytes()).unwrap_err();
            assert_eq!(
                error,
                ParseError::MissingColumns {
                    columns: vec![needed]
                }
            );
            assert!(error.to_string().contains(needed));
        }
        let error = parse(format!("{HEADER},arn\n").as_bytes()).unwrap_err();
        assert_eq!(error, ParseError::ColumnTwice { column: "arn" });
    }

    #[test]
    fn a_header_that_swallowed_rows_is_no_report() {
        let (row, quoted) = ("alice,arn:aws:iam::111122223333:user/alice", "\"cert");
        for end in ["\n", "\r\n"] {
            let text = format!("{HEADER},{quoted}{end}{row}{end}");
            assert_eq!(parse(text.as_bytes()), Err(ParseError::LineInHeader));
        }
    }

    #[test]
    fn a_header_alone_is_a_report_of_nobody() {
        let report = report("");
        assert_eq!((report.owner, report.rows.len()), (None, 0));
        assert_eq!(report.listing, Listing::Complete);
    }

    #[test]
    fn a_garbled_field_costs_its_user_only_and_is_told_with_its_line() {
        for (one, told) in [
            (
                "maybe,2024-01-01T00:00:00Z,N/A,N/A,N/A",
                "access_key_1_active is \"maybe\"",
            ),
            ("N/A,N/A,N/A,N/A,N/A", "access_key_1_active"),
            (
                "true,01/02/2024 10:00,N/A,N/A,N/A",
                "access_key_1_last_rotated is \"01/02/2024 10:00\"",
            ),
            (
                "true,2024-02-30T00:00:00Z,N/A,N/A,N/A",
                "must be N/A or a time",
            ),
            ("false,,N/A,N/A,N/A", "access_key_1_last_rotated is \"\""),
            (
                "true,N/A,N/A,N/A,N/A",
                "access_key_1_last_rotated has no date",
            ),
            (
                "false,N/A,2024-01-01T00:00:00Z,N/A,N/A",
                "access_key_1_last_rotated has no date",
            ),
            (
                "true,2024-01-01T00:00:00Z,yesterday,N/A,N/A",
                "access_key_1_last_used_date",
            ),
        ] {
            let rows =
                line("a", NO_KEY, NO_KEY) + &line("b", one, OLD_KEY) + &line("c", OLD_KEY, NO_KEY);
            for rows in [
                rows.clone(),
                rows.replace('\n', "\r\n"),
                format!("\n{rows}"),
            ] {
                let at = if rows.starts_with('\n') { 4 } else { 3 };
                let report = report(&rows);
                let told_of = defects(&report);
                assert_eq!(told_of.len(), 1, "{told_of:?}");
                assert!(
                    told_of[0].starts_with(&format!("line {at}: ")),
                    "{told_of:?}"
                );
                assert!(told_of[0].contains(told), "{told_of:?}");
                assert_eq!(report.listing, Listing::Complete);
                let read: Vec<_> = report.rows.iter().map(|row| row.is_read).collect();
                assert_eq!(read, [true, false, true]);
                let user = report.rows[1].to_user();
                assert_eq!(user.reading, Reading::Unread(Reason::MalformedResponse));
                assert!(
                    user.keys
                        .iter()
                        .any(|key| key.name == KeyName::Slot(Slot::Two))
                );
            }
        }
    }

    #[test]
    fn a_garbled_creation_time_or_arn_costs_the_user_too() {
        let good = line("a", OLD_KEY, NO_KEY);
        let bad_time = line("b", OLD_KEY, NO_KEY).replace("2023-01-01", "2023");
        let bad_arn = line("c", OLD_KEY, NO_KEY).replace("arn:aws", "arn");
        let report = report(&(good + &bad_time + &bad_arn));
        let read: Vec<_> = report.rows.iter().map(|row| row.is_read).collect();
        assert_eq!(read, [true, false, false]);
        assert!(defects(&report)[0].contains("user_creation_time"));
        assert!(defects(&report)[1].starts_with("line 4: arn is"));
    }

    #[test]
    fn a_long_or_hostile_value_is_shortened_and_escaped_in_the_message() {
        let key = format!("\"{}\u{1b}[31m\n\",N/A,N/A,N/A,N/A", "x".repeat(10));
        let shown = defects(&report(&line("a", &key, NO_KEY)));
        assert!(
            shown
                .iter()
                .all(|defect| !defect.contains(['\n', '\u{1b}'])),
            "{shown:?}"
        );
        let key = format!("{},N/A,N/A,N/A,N/A", "x".repeat(100_000));
        assert!(defects(&report(&line("a", &key, NO_KEY)))[0].len() < 200);
    }

    #[test]
    fn a_row_of_the_wrong_length_is_an_unread_user_if_name_and_arn_agree() {
        let good = line("a", OLD_KEY, NO_KEY);
        for bad in [
            line("b", OLD_KEY, "false,N/A"),
            line("b", OLD_KEY, "false,N/A,N/A,N/A,N/A,more"),
        ] {
            let report = report(&format!("{bad}{good}"));
            assert_eq!(report.listing, Listing::Complete);
            assert!(!user(&report, "b").is_read);
            assert!(user(&report, "a").is_read);
            assert!(defects(&report)[0].contains("where the header has 13"));
        }
    }

    #[test]
    fn a_row_whose_user_cannot_be_told_leaves_the_listing_truncated() {
        let good = line("a", OLD_KEY, NO_KEY);
        for bad in [
            // A comma in a name without quotes.
            line("a,b", OLD_KEY, NO_KEY),
            line("", OLD_KEY, NO_KEY),
            "junk\n".to_owned(),
        ] {
            let report = report(&format!("{good}{bad}"));
            assert_eq!(
                report.listing,
                Listing::Truncated(Reason::MalformedResponse),
                "{bad}"
            );
            assert_eq!(report.rows.len(), 1, "{bad}");
            assert!(report.rows[0].is_read);
        }
    }

    #[test]
    fn wherever_a_report_breaks_off_in_a_row_nobody_is_taken_for_read_or_the_list_for_whole() {
        let rows = line("a", OLD_KEY, NO_KEY) + &line("bob", OLD_KEY, OLD_KEY);
        let text = format!("{HEADER}\n{rows}");
        let begin = text.find("\nbob").unwrap() + 2;
        // From the last column on, a cut can't be seen.
        let end = text.rfind(',').unwrap();
        for cut in begin..end {
            let report = parse(&text.as_bytes()[..cut]).unwrap();
            assert_eq!(
                report.listing,
                Listing::Truncated(Reason::MalformedResponse),
                "{cut}"
            );
            assert!(report.rows.iter().skip(1).all(|row| !row.is_read), "{cut}");
            assert!(user(&report, "a").is_read);
        }
    }

    #[test]
    fn an_open_quote_never_swallows_users_in_silence() {
        let rows: String = ["a", "b", "c", "d"]
            .map(|name| line(name, OLD_KEY, NO_KEY))
            .concat();
        let text = format!("{HEADER}\n{rows}");
        for place in HEADER.len() + 1..text.len() {
            if !matches!(text.as_bytes()[place - 1], b',' | b'\n') {
                continue;
            }
            for closed in [false, true] {
                let mut broken = format!("{}\"{}", &text[..place], &text[place..]);
                if closed && let Some(comma) = broken[place..].rfind(',') {
                    broken.insert(place + comma, '"');
                }
                let Ok(report) = parse(broken.as_bytes()) else {
                    continue;
                };
                let has_all = ["a", "b", "c", "d"]
                    .iter()
                    .all(|name| report.rows.iter().any(|row| &*row.user == *name));
                assert!(
                    has_all || report.listing != Listing::Complete,
                    "{place} {closed}: {report:?}"
                );
            }
        }
    }

    #[test]
    fn of_a_user_created_again_the_newest_counts() {
        let old = line("a", OLD_KEY, OLD_KEY);
        let new = line("a", NO_KEY, NO_KEY).replace("2023-01-01", "2024-01-01");
        for rows in [format!("{old}{new}"), format!("{new}{old}")] {
            let report = report(&rows);
            assert_eq!(report.rows.len(), 1);
            assert_eq!(report.rows[0].keys().count(), 0);
            assert!(report.rows[0].is_read);
        }
    }

    #[test]
    fn two_unlike_rows_that_nothing_tells_apart_leave_the_user_unread() {
        let rows = line("a", OLD_KEY, NO_KEY) + &line("a", NO_KEY, NO_KEY);
        let report = report(&rows);
        assert_eq!(report.rows.len(), 1);
        assert!(!report.rows[0].is_read);
        assert!(defects(&report)[0].starts_with("line 3: a second row"));
    }

    #[test]
    fn rows_of_two_accounts_are_an_error_that_names_both() {
        let rows = line("a", NO_KEY, NO_KEY)
            + &line("b", NO_KEY, NO_KEY).replace("111122223333", "444455556666");
        let error = parse(format!("{HEADER}\n{rows}").as_bytes()).unwrap_err();
        let told = error.to_string();
        assert!(told.starts_with("line 3: "), "{told}");
        assert!(
            told.contains("111122223333") && told.contains("444455556666"),
            "{told}"
        );
    }

    #[test]
    fn a_report_without_any_arn_is_an_error_that_names_the_column() {
        let rows = line("a", NO_KEY, NO_KEY).replace("arn:aws:iam::111122223333:user/a", "hidden");
        let error = parse(format!("{HEADER}\n{rows}").as_bytes()).unwrap_err();
        assert_eq!(error, ParseError::NoArn { line: 2 });
        assert!(error.to_string().contains("the column arn"));
    }

    #[test]
    fn the_root_row_is_no_user_and_what_it_says_wrongly_stays_unknown() {
        let root = |one: &str, two: &str| {
            let report = report(&format!(
                "<root_account>,arn:aws:iam::111122223333:root,2020-01-01T00:00:00Z,{one},{two}\n"
            ));
            assert_eq!(report.rows, []);
            assert_eq!(report.listing, Listing::Complete);
            (report.root.active, report.root.present)
        };
        let inactive = "false,2024-01-01T00:00:00Z,N/A,N/A,N/A";
        let garbled = "maybe,N/A,N/A,N/A,N/A";
        assert_eq!(root(NO_KEY, NO_KEY), (Some(0), Some(false)));
        assert_eq!(root(OLD_KEY, OLD_KEY), (Some(2), Some(true)));
        assert_eq!(root(inactive, NO_KEY), (Some(0), Some(true)));
        assert_eq!(root(garbled, NO_KEY), (None, None));
        assert_eq!(root(garbled, OLD_KEY), (None, Some(true)));
    }

    #[test]
    fn a_fingerprint_changes_with_the_keys_and_not_with_their_use() {
        let print = |one: &str| report(&line("a", one, NO_KEY)).rows[0].fingerprint();
        let first: Fingerprint = print(OLD_KEY);
        assert_eq!(
            first,
            print("true,2024-01-01T00:00:00Z,2024-05-05T00:00:00Z,eu-west-1,s3")
        );
        assert_ne!(first, print("false,2024-01-01T00:00:00Z,N/A,N/A,N/A"));
        assert_ne!(first, print("true,2024-01-01T00:00:01Z,N/A,N/A,N/A"));
        assert_ne!(first, print(NO_KEY));
    }

    #[test]
    fn services_and_regions_are_kept_once() {
        let key = "true,2024-01-01T00:00:00Z,2024-02-01T00:00:00Z,eu-west-1,s3";
        let report = report(&(line("a", key, NO_KEY) + &line("b", key, NO_KEY)));
        let services: Vec<_> = report
            .rows
            .iter()
            .flat_map(Row::keys)
            .map(|key| match &key.last_use {
                LastUse::At(used) => used.service(),
                other => panic!("{other:?}"),
            })
            .collect();
        assert!(std::ptr::eq(services[0].as_ptr(), services[1].as_ptr()));
    }

    fn any_time() -> impl Strategy<Value = DateTime<Utc>> {
        (0_i64..4_102_444_800, 0_u32..1000).prop_map(|(seconds, millis)| {
            DateTime::from_timestamp(seconds, millis * 1_000_000).unwrap()
        })
    }

    fn any_slot(slot: Slot) -> impl Strategy<Value = Option<SlotRow>> {
        let last_use = prop_oneof![
            Just(LastUse::Never),
            Just(LastUse::Unknown),
            (any_time(), "[a-z,\"\u{e9}]{0,8}", "[a-z0-9-]{1,9}").prop_map(
                |(time, service, region)| { LastUse::At(UsedAt::new(time, &service, &region)) }
            ),
        ];
        proptest::option::of((any::<bool>(), any_time(), last_use).prop_map(
            move |(active, last_rotated, last_use)| SlotRow {
                slot,
                active,
                last_rotated,
                last_use,
            },
        ))
    }

    fn any_row() -> impl Strategy<Value = Row> {
        (
            "[a-zA-Z0-9+=,.@_\"\n\r '<\u{e9}-]{1,20}",
            "/([a-z]{1,3}/){0,2}",
            proptest::option::of(any_time()),
            any_slot(Slot::One),
            any_slot(Slot::Two),
        )
            .prop_map(|(user, path, created, one, two)| Row {
                user: user.into(),
                path: path.into(),
                created,
                slots: [one, two],
                is_read: true,
            })
    }

    fn written(rows: &[Row]) -> Vec<u8> {
        let mut writer = csv::Writer::from_writer(Vec::new());
        writer.write_record(HEADER.split(',')).unwrap();
        let absent = || "N/A".to_owned();
        for row in rows {
            let mut fields = vec![
                row.user.to_string(),
                format!("arn:aws:iam::111122223333:user{}{}", row.path, row.user),
                row.created.map_or_else(absent, |time| time.to_rfc3339()),
            ];
            for slot in &row.slots {
                let Some(key) = slot else {
                    fields.extend(NO_KEY.split(',').map(str::to_owned));
                    continue;
                };
                fields.extend([key.active.to_string(), key.last_rotated.to_rfc3339()]);
                fields.extend(match &key.last_use {
                    LastUse::At(used) => [
                        used.time.to_rfc3339(),
                        used.region().to_string(),
                        used.service().to_string(),
                    ],
                    LastUse::Never => [absent(), absent(), absent()],
                    LastUse::Unknown => ["no_information".to_owned(), absent(), absent()],
                });
            }
            writer.write_record(fields).unwrap();
        }
        writer.into_inner().unwrap()
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_parser_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = parse(&bytes);
        }

        #[test]
        fn no_rows_make_the_parser_panic(rows in "([a-zN/A,:\"\r\n<>0-9TZ.-]|true|false|arn:aws:iam::111122223333:user/a|\u{1F511}){0,60}") {
            let _ = parse(format!("{HEADER}\n{rows}").as_bytes());
        }

        #[test]
        fn what_is_written_is_read(rows in proptest::collection::vec(any_row(), 1..12)) {
            let mut seen = HashSet::new();
            let rows: Vec<_> = rows.into_iter().filter(|row| seen.insert(Arc::clone(&row.user))).collect();
            let report = parse(&written(&rows)).unwrap();
            prop_assert_eq!(defects(&report), Vec::<String>::new());
            prop_assert_eq!(report.listing, Listing::Complete);
            prop_assert_eq!(report.rows, rows);
        }
    }
}
