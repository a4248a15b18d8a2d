//! Findings, field by field.

use std::collections::HashSet;

use chrono::DateTime;
use iam_key_exporter::check::{format::Format, report::Report};
use serde_json::Value;

use crate::made::{LAYOUT, written};

/// A string of 1 to `most` bytes with something in it.
fn filled<'a>(value: &'a Value, most: usize, what: &str) -> &'a str {
    let text = value
        .as_str()
        .unwrap_or_else(|| panic!("{what} is no string: {value}"));
    assert!(
        !text.trim().is_empty() && text.len() <= most,
        "{what} must hold 1 to {most} bytes: {text:?}"
    );
    text
}

fn one_of(value: &Value, allowed: &[&str], what: &str) {
    assert!(
        value.as_str().is_some_and(|text| allowed.contains(&text)),
        "{what} is {value}, allowed are {allowed:?}"
    );
}

fn time(value: &Value, what: &str) -> DateTime<chrono::FixedOffset> {
    let text = filled(value, 64, what);
    assert!(text.ends_with('Z') && text.contains('T'), "{what}: {text}");
    DateTime::parse_from_rfc3339(text).unwrap_or_else(|error| panic!("{what}: {error}"))
}

/// The requirements of the AWS Security Hub API Reference, `AwsSecurityFinding` and what it refers
/// to: required fields, lengths, enumerations, formats, and the pattern `.*\S.*` of every string.
pub(crate) fn assert_asff(report: &Report) {
    let findings: Vec<Value> =
        serde_json::from_str(&written(report, Format::Asff, LAYOUT)).unwrap();
    assert_eq!(findings.len(), report.rows.len());
    let mut ids = HashSet::new();
    for (finding, row) in findings.iter().zip(&report.rows) {
        no_blank_string(finding);
        assert_eq!(finding["SchemaVersion"], "2018-10-08");
        let id = filled(&finding["Id"], 512, "Id");
        assert!(ids.insert(id), "{id} comes twice");
        let account = filled(&finding["AwsAccountId"], 12, "AwsAccountId");
        assert!(account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit()));
        let product = filled(&finding["ProductArn"], 2048, "ProductArn");
        let parts: Vec<_> = product.split(':').collect();
        let [arn, partition, service, region, owner, name] = parts[..] else {
            panic!("{product} is no ARN")
        };
        assert_eq!((arn, service, owner), ("arn", "securityhub", account));
        assert!(!partition.is_empty() && !region.is_empty());
        assert_eq!(name, format!("product/{account}/default"));
        filled(&finding["GeneratorId"], 512, "GeneratorId");
        filled(&finding["Title"], 256, "Title");
        filled(&finding["Description"], 1024, "Description");
        let (created, updated) = (&finding["CreatedAt"], &finding["UpdatedAt"]);
        assert!(time(created, "CreatedAt") <= time(updated, "UpdatedAt"));
        assert_asff_classes(finding);
        assert_asff_resource(&finding["Resources"]);
        one_of(
            &finding["Compliance"]["Status"],
            match row.status.as_str() {
                "ok" => &["PASSED"],
                "alarm" => &["FAILED"],
                "error" => &["WARNING"],
                _ => &["NOT_AVAILABLE"],
            },
            "Compliance.Status",
        );
        let requirements = finding["Compliance"]["RelatedRequirements"]
            .as_array()
            .unwrap();
        assert!(requirements.len() <= 32);
        for requirement in requirements {
            filled(requirement, 64, "RelatedRequirements");
        }
        let advice = &finding["Remediation"]["Recommendation"];
        filled(&advice["Text"], 512, "Recommendation.Text");
        assert!(filled(&advice["Url"], 2048, "Recommendation.Url").starts_with("https://"));
        let fields = finding["ProductFields"].as_object().unwrap();
        assert!(fields.len() <= 50);
        for (key, value) in fields {
            assert!(!key.is_empty() && key.len() <= 128);
            filled(value, 2048, key);
        }
        assert!(
            finding.to_string().len() <= 240 * 1024,
            "the largest finding"
        );
    }
}

fn assert_asff_classes(finding: &Value) {
    let labels = ["INFORMATIONAL", "LOW", "MEDIUM", "HIGH", "CRITICAL"];
    one_of(
        &finding["RecordState"],
        &["ACTIVE", "ARCHIVED"],
        "RecordState",
    );
    for holder in [finding, &finding["FindingProviderFields"]] {
        one_of(&holder["Severity"]["Label"], &labels, "Severity.Label");
        let types = holder["Types"].as_array().unwrap();
        assert!(!types.is_empty() && types.len() <= 50);
        for kind in types {
            let kind = filled(kind, 256, "Types");
            let namespace = kind.split('/').next().unwrap();
            assert_eq!(namespace, "Software and Configuration Checks");
            assert_eq!(kind.split('/').count(), 3, "{kind}");
        }
    }
    if let Some(name) = finding.get("AwsAccountName") {
        filled(name, 50, "AwsAccountName");
    }
}

fn assert_asff_resource(resources: &Value) {
    let resources = resources.as_array().unwrap();
    assert_eq!(resources.len(), 1);
    let resource = &resources[0];
    filled(&resource["Id"], usize::MAX, "Resource.Id");
    one_of(
        &resource["Type"],
        &["AwsIamAccessKey", "AwsIamUser", "AwsAccount"],
        "Resource.Type",
    );
    if let Some(partition) = resource.get("Partition") {
        one_of(partition, &["aws", "aws-cn", "aws-us-gov"], "Partition");
    }
    if let Some(details) = resource.get("Details") {
        let key = &details["AwsIamAccessKey"];
        time(&key["CreatedAt"], "AwsIamAccessKey.CreatedAt");
        if let Some(status) = key.get("Status") {
            one_of(status, &["Active", "Inactive"], "AwsIamAccessKey.Status");
        }
    }
}

fn no_blank_string(value: &Value) {
    match value {
        Value::String(text) => assert!(!text.trim().is_empty()),
        Value::Array(values) => values.iter().for_each(no_blank_string),
        Value::Object(fields) => fields.values().for_each(no_blank_string),
        _ => {}
    }
}

/// The required attributes of the class Compliance Finding with the profile `cloud`, their types
/// and enumerations: <https://schema.ocsf.io/1.5.0/classes/compliance_finding>.
pub(crate) fn assert_ocsf(report: &Report) {
    let findings: Vec<Value> =
        serde_json::from_str(&written(report, Format::Ocsf, LAYOUT)).unwrap();
    assert_eq!(findings.len(), report.rows.len());
    let mut uids = HashSet::new();
    for finding in &findings {
        let number = |name: &str| {
            finding[name]
                .as_u64()
                .unwrap_or_else(|| panic!("{name} is no number: {}", finding[name]))
        };
        assert_eq!(number("category_uid"), 2);
        assert_eq!(number("class_uid"), 2003);
        assert!([0, 1, 2, 3, 99].contains(&number("activity_id")));
        assert_eq!(
            number("type_uid"),
            number("class_uid") * 100 + number("activity_id")
        );
        assert!(number("severity_id") <= 6);
        assert!([0, 1, 2, 3, 4, 5, 99].contains(&number("status_id")));
        // Milliseconds since the epoch, of this century.
        assert!(number("time") > 946_684_800_000 && number("time") < 4_102_444_800_000);
        let metadata = &finding["metadata"];
        assert_eq!(metadata["version"], "1.5.0");
        assert_eq!(metadata["profiles"], serde_json::json!(["cloud"]));
        filled(&metadata["product"]["vendor_name"], 64, "vendor_name");
        filled(&metadata["product"]["name"], 64, "product.name");
        assert_eq!(finding["cloud"]["provider"], "AWS");
        if let Some(account) = finding["cloud"].get("account") {
            assert_eq!(account["type_id"], 10);
            filled(&account["uid"], 12, "account.uid");
        }
        let uid = filled(&finding["finding_info"]["uid"], usize::MAX, "uid");
        assert!(uids.insert(uid), "{uid} comes twice");
        filled(&finding["finding_info"]["title"], 256, "title");
        let compliance = &finding["compliance"];
        assert!([0, 1, 2, 3, 99].contains(&compliance["status_id"].as_u64().unwrap()));
        filled(&compliance["control"], 64, "compliance.control");
        assert!(!compliance["standards"].as_array().unwrap().is_empty());
        filled(&finding["remediation"]["desc"], 1024, "remediation.desc");
        let resources = finding["resources"].as_array().unwrap();
        assert_eq!(resources.len(), 1);
        filled(&resources[0]["uid"], usize::MAX, "resources.uid");
        filled(&resources[0]["type"], 64, "resources.type");
        assert!(resources[0]["data"].is_object());
    }
}
