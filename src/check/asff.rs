//! Findings in the AWS Security Finding Format, as Security Hub imports them.
//!
//! Fields, allowed values and lengths are those of the AWS Security Hub API Reference,
//! `AwsSecurityFinding`; lengths are counted in bytes, the stricter of the ways to count.

use std::{
    fmt::Write as _,
    io::{self, Write},
};

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::{
    control::{Control, REMEDIATION, REMEDIATION_URL},
    json::write_list,
    report::Report,
    rows::{Row, Status, Subject},
};
use crate::key::{AccountId, KeyStatus};

const LONGEST_ID: usize = 512;
const LONGEST_TITLE: usize = 256;
const LONGEST_DESCRIPTION: usize = 1024;
const LONGEST_PRODUCT_FIELD: usize = 2048;
const LONGEST_ACCOUNT_NAME: usize = 50;

/// Stands for an account whose id could not be learned: the format has no finding without one.
const NO_ACCOUNT: &str = "000000000000";

/// What the findings are about, in the format's taxonomy of types.
fn finding_type(control: &Control) -> &'static str {
    if control.id.starts_with("cis_") {
        "Software and Configuration Checks/Industry and Regulatory Standards/CIS AWS Foundations \
            Benchmark"
    } else {
        "Software and Configuration Checks/Industry and Regulatory \
            Standards/AWS-Foundational-Security-Best-Practices"
    }
}

pub(super) fn write(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    let finding = |row| Finding { report, row }.value();
    write_list(report.rows.iter().map(finding), out)
}

/// What a finding is made of.
struct Finding<'a> {
    report: &'a Report,
    row: &'a Row,
}

impl Finding<'_> {
    fn value(&self) -> Value {
        let Self { report, row } = self;
        let control = report.control;
        let account = row
            .subject
            .account
            .as_ref()
            .map_or(NO_ACCOUNT, AccountId::as_str);
        let partition = row.subject.partition.as_deref().unwrap_or("aws");
        let region = report
            .region
            .as_deref()
            .unwrap_or_else(|| first_region(partition));
        let mut finding = json!({
            "SchemaVersion": "2018-10-08",
            "Id": fitting_id(&format!("{}/{}", control.id, row.resource)),
            "ProductArn": format!(
                "arn:{partition}:securityhub:{region}:{account}:product/{account}/default"
            ),
            "GeneratorId": format!("iam-key-exporter/{}", control.id),
            "AwsAccountId": account,
            "Types": [finding_type(control)],
            "CreatedAt": timestamp(self.began()),
            "UpdatedAt": timestamp(report.as_of),
            "Severity": { "Label": severity(row.status) },
            "Title": fitting(&format!("{}: {}", control.title, name(row)), LONGEST_TITLE),
            "Description": fitting(
                &format!("{} {}", row.reason, control.description), LONGEST_DESCRIPTION
            ),
            "Remediation": {
                "Recommendation": { "Text": REMEDIATION, "Url": REMEDIATION_URL }
            },
            "ProductFields": self.product_fields(),
            "Resources": [resource(row, partition)],
            "Compliance": {
                "Status": compliance(row.status),
                "RelatedRequirements": [format!("{} {}", control.benchmark, control.item)],
            },
            "RecordState": "ACTIVE",
            // What a provider sets: Security Hub takes the fields of the same names above only
            // from the first import.
            "FindingProviderFields": {
                "Severity": { "Label": severity(row.status) },
                "Types": [finding_type(control)],
            },
        });
        if let Some(name) = row
            .subject
            .account_name
            .as_deref()
            .filter(|name| !name.trim().is_empty())
        {
            finding["AwsAccountName"] = fitting(name, LONGEST_ACCOUNT_NAME).into();
        }
        finding
    }

    /// Since when it is as the row says. It stays the same from one run to the next as long as the
    /// key's status does; never in the future, should clocks differ.
    fn began(&self) -> DateTime<Utc> {
        let as_of = self.report.as_of;
        let began = match (&self.row.subject.key, self.row.status) {
            (Some(key), Status::Alarm) => key.due.unwrap_or(key.created),
            (Some(key), _) => key.created,
            (None, _) => as_of,
        };
        began.min(as_of)
    }

    fn product_fields(&self) -> Map<String, Value> {
        let own = [
            ("ProviderName", "iam-key-exporter"),
            ("ProviderVersion", env!("CARGO_PKG_VERSION")),
            ("ControlId", self.report.control.id),
            ("ControlStatus", self.row.status.as_str()),
        ];
        let dimensions = self
            .row
            .dimensions
            .iter()
            .map(|(key, value)| (*key, value.as_str()));
        own.into_iter()
            .chain(dimensions)
            // A field may be missing but not blank.
            .filter(|(_, value)| !value.trim().is_empty())
            .map(|(key, value)| (key.into(), fitting(value, LONGEST_PRODUCT_FIELD).into()))
            .collect()
    }
}

/// What the title names: the user and key, or whatever could not be read.
fn name(row: &Row) -> String {
    match &row.subject {
        Subject {
            user: Some(user),
            key: Some(key),
            ..
        } => format!("{user} {}", key.name),
        Subject {
            user: Some(user), ..
        } => user.to_string(),
        _ => row.resource.clone(),
    }
}

fn resource(row: &Row, partition: &str) -> Value {
    let kind = match &row.subject {
        Subject { key: Some(_), .. } => "AwsIamAccessKey",
        Subject { user: Some(_), .. } => "AwsIamUser",
        _ => "AwsAccount",
    };
    let mut resource = json!({ "Type": kind, "Id": row.resource });
    // The format knows these three only.
    if ["aws", "aws-cn", "aws-us-gov"].contains(&partition) {
        resource["Partition"] = partition.into();
    }
    if let (Some(key), Some(user)) = (&row.subject.key, &row.subject.user)
        && !user.trim().is_empty()
    {
        let mut details = json!({
            "PrincipalName": &**user,
            "CreatedAt": timestamp(key.created),
        });
        if let Some(account) = &row.subject.account {
            details["AccountId"] = account.as_str().into();
        }
        if key.is_id {
            details["AccessKeyId"] = key.name.as_str().into();
        }
        if let KeyStatus::Active | KeyStatus::Inactive = key.status {
            details["Status"] = key.status.as_str().into();
        }
        resource["Details"] = json!({ "AwsIamAccessKey": details });
    }
    resource
}

/// The severity that Security Hub itself gives its control IAM.3, for what needs somebody.
fn severity(status: Status) -> &'static str {
    match status {
        Status::Alarm | Status::Error => "MEDIUM",
        Status::Ok | Status::Skip | Status::Info => "INFORMATIONAL",
    }
}

fn compliance(status: Status) -> &'static str {
    match status {
        Status::Ok => "PASSED",
        Status::Alarm => "FAILED",
        Status::Error => "WARNING",
        Status::Skip | Status::Info => "NOT_AVAILABLE",
    }
}

/// The region of a partition that IAM's endpoint is in; the first of an unknown one can't be known.
fn first_region(partition: &str) -> &'static str {
    match partition {
        "aws-cn" => "cn-north-1",
        "aws-us-gov" => "us-gov-west-1",
        "aws-eusc" => "eusc-de-east-1",
        "aws-iso" => "us-iso-east-1",
        "aws-iso-b" => "us-isob-east-1",
        _ => "us-east-1",
    }
}

fn timestamp(instant: DateTime<Utc>) -> String {
    instant.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// The text, cut to what the field holds.
fn fitting(text: &str, most: usize) -> String {
    const CUT: &str = "…";
    if text.len() <= most {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(most - CUT.len());
    format!("{}{CUT}", &text[..end])
}

/// The id, cut to what the field holds and, if it was cut, told apart from every other by a digest
/// of the whole.
fn fitting_id(id: &str) -> String {
    if id.len() <= LONGEST_ID {
        return id.to_owned();
    }
    let mut digest = String::with_capacity(65);
    for byte in Sha256::digest(id) {
        write!(digest, "{byte:02x}").expect("a string takes whatever is written");
    }
    let end = id.floor_char_boundary(LONGEST_ID - digest.len() - 1);
    format!("{}/{digest}", &id[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_between_characters_and_an_id_stays_unique() {
        assert_eq!(fitting("abc", 3), "abc");
        assert_eq!(fitting("ééé", 5), "é…");
        let (one, two) = ("x".repeat(600), "x".repeat(601));
        assert_eq!(fitting_id(&one).len(), LONGEST_ID);
        assert_ne!(fitting_id(&one), fitting_id(&two));
        assert_eq!(fitting_id("short"), "short");
    }
}
