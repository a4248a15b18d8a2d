//! Findings of the Open Cybersecurity Schema Framework, class Compliance Finding (2003) with the
//! profile `cloud`, in version 1.5.0 of the schema: <https://schema.ocsf.io/1.5.0>.

use std::io::{self, Write};

use serde_json::{Map, Value, json};

use super::{
    control::{REMEDIATION, REMEDIATION_URL},
    json::write_list,
    report::Report,
    rows::{Row, Status, Subject},
};

const VERSION: &str = "1.5.0";

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
        let time = report.as_of.timestamp_millis();
        let (severity_id, severity) = severity(row.status);
        let (status_id, status) = compliance(row.status);
        let (state_id, state) = state(row.status);
        json!({
            "activity_id": 1,
            "activity_name": "Create",
            "category_uid": 2,
            "category_name": "Findings",
            "class_uid": 2003,
            "class_name": "Compliance Finding",
            "type_uid": 200_301,
            "type_name": "Compliance Finding: Create",
            "time": time,
            "severity_id": severity_id,
            "severity": severity,
            "status_id": state_id,
            "status": state,
            "status_code": row.status.as_str(),
            "status_detail": row.reason,
            "message": row.reason,
            "metadata": {
                "version": VERSION,
                "profiles": ["cloud"],
                "event_code": control.id,
                "product": {
                    "name": "iam-key-exporter",
                    "uid": "iam-key-exporter",
                    "vendor_name": "iam-key-exporter",
                    "version": env!("CARGO_PKG_VERSION"),
                },
            },
            "cloud": self.cloud(),
            "compliance": {
                "standards": [control.benchmark],
                "requirements": [control.item],
                "control": control.id,
                "desc": control.description,
                "status_id": status_id,
                "status": status,
            },
            "finding_info": {
                "uid": format!("{}/{}", control.id, row.resource),
                "title": control.title,
                "desc": control.description,
                "types": ["Compliance"],
                "created_time": time,
            },
            "remediation": { "desc": REMEDIATION, "references": [REMEDIATION_URL] },
            "resources": [self.resource()],
        })
    }

    fn cloud(&self) -> Value {
        let mut cloud = json!({ "provider": "AWS" });
        if let Some(account) = self.account() {
            cloud["account"] = account;
        }
        cloud
    }

    fn account(&self) -> Option<Value> {
        let subject = &self.row.subject;
        let id = subject.account.as_ref()?;
        let mut account = json!({ "uid": id.as_str(), "type_id": 10, "type": "AWS Account" });
        if let Some(name) = &subject.account_name {
            account["name"] = (**name).into();
        }
        Some(account)
    }

    fn owner(&self, user: &str) -> Value {
        let mut owner = json!({ "name": user, "type_id": 1, "type": "User" });
        let row = self.row;
        let suffix = row
            .subject
            .key
            .as_ref()
            .map_or(0, |key| "/accesskey/".len() + key.name.len());
        // The resource of a key goes on where that of its user ends.
        owner["uid"] = row.resource[..row.resource.len() - suffix].into();
        if let Some(account) = self.account() {
            owner["account"] = account;
        }
        owner
    }

    fn resource(&self) -> Value {
        let Row {
            resource,
            dimensions,
            subject,
            ..
        } = self.row;
        let kind = match subject {
            Subject { key: Some(_), .. } => "AwsIamAccessKey",
            Subject { user: Some(_), .. } => "AwsIamUser",
            _ => "AwsAccount",
        };
        let data: Map<String, Value> = dimensions
            .iter()
            .filter(|(_, value)| !value.is_empty())
            .map(|(key, value)| ((*key).into(), value.as_str().into()))
            .collect();
        let mut object = json!({ "uid": resource, "type": kind, "data": data });
        if let Some(key) = &subject.key {
            object["name"] = key.name.as_str().into();
        } else if let Some(user) = &subject.user {
            object["name"] = (**user).into();
        }
        if let Some(user) = &subject.user {
            object["owner"] = self.owner(user);
        }
        if let Some(partition) = &subject.partition {
            object["cloud_partition"] = (**partition).into();
        }
        object
    }
}

fn severity(status: Status) -> (u8, &'static str) {
    match status {
        Status::Alarm | Status::Error => (3, "Medium"),
        Status::Ok | Status::Skip | Status::Info => (1, "Informational"),
    }
}

/// `compliance.status_id`
fn compliance(status: Status) -> (u8, &'static str) {
    match status {
        Status::Ok => (1, "Pass"),
        Status::Error => (2, "Warning"),
        Status::Alarm => (3, "Fail"),
        Status::Skip => (99, "Skip"),
        Status::Info => (99, "Info"),
    }
}

/// Where the finding stands: a pass is no open matter, and a skip was decided by somebody.
fn state(status: Status) -> (u8, &'static str) {
    match status {
        Status::Alarm | Status::Error => (1, "New"),
        Status::Skip => (3, "Suppressed"),
        Status::Ok | Status::Info => (4, "Resolved"),
    }
}
