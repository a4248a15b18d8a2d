//! What is shipped for AWS allows what the exporter calls, and nothing else.

use std::{collections::BTreeSet, fs, path::PathBuf};

use iam_key_exporter::counts::Operation;
use serde_json::Value;

fn shipped(path: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("deploy/aws")
        .join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The actions that a policy of JSON allows.
fn actions(policy: &str) -> BTreeSet<String> {
    let policy: Value = serde_json::from_str(&shipped(policy)).expect("it is JSON");
    assert_eq!(policy["Version"], "2012-10-17");
    let mut actions = BTreeSet::new();
    for statement in policy["Statement"].as_array().expect("a list") {
        assert_eq!(statement["Effect"], "Allow");
        for action in statement["Action"].as_array().expect("a list") {
            let action = action.as_str().expect("text").to_owned();
            assert!(actions.insert(action.clone()), "{action} comes twice");
        }
    }
    actions
}

/// Every text in a document that looks like an action of a policy: a service that is called, a colon
/// and a name.
fn actions_in(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == ':'));
    words
        .map(|word| word.trim_matches(':'))
        .filter(|word| {
            let name = word
                .split_once(':')
                .filter(|(service, _)| ["iam", "sts", "organizations"].contains(service));
            name.is_some_and(|(_, name)| name.starts_with(|c: char| c.is_ascii_uppercase()))
        })
        // A condition's key, which is no action.
        .filter(|word| *word != "sts:ExternalId")
        .map(str::to_owned)
        .collect()
}

fn union(sets: &[&BTreeSet<String>]) -> BTreeSet<String> {
    sets.iter().copied().flatten().cloned().collect()
}

#[test]
fn the_policies_together_allow_every_call_and_no_other() {
    let allowed = union(&[
        &actions("iam-policy.json"),
        &actions("iam-policy-tags.json"),
        &actions("iam-policy-hub.json"),
    ]);
    let called: BTreeSet<String> = Operation::ALL
        .into_iter()
        // AWS lets everybody ask who they are.
        .filter(|operation| *operation != Operation::GetCallerIdentity)
        .map(|operation| format!("{}:{}", operation.service().prefix(), operation.as_str()))
        .collect();
    assert_eq!(allowed, called);
}

#[test]
fn the_templates_are_yaml_and_allow_what_the_policies_do() {
    for (template, expected) in [
        (
            "cloudformation/member-role.yaml",
            union(&[
                &actions("iam-policy.json"),
                &actions("iam-policy-tags.json"),
                &["sts:AssumeRole".to_owned()].into(),
            ]),
        ),
        (
            "cloudformation/hub-policy.yaml",
            actions("iam-policy-hub.json"),
        ),
    ] {
        let text = shipped(template);
        let document: yaml_serde::Value = yaml_serde::from_str(&text).expect("it is YAML");
        assert_eq!(document["AWSTemplateFormatVersion"], "2010-09-09");
        for resource in document["Resources"].as_mapping().expect("a map").values() {
            let kind = resource["Type"].as_str().expect("it has a type");
            assert!(kind.starts_with("AWS::IAM::"), "{kind}");
        }
        assert_eq!(actions_in(&text), expected, "{template}");
    }
}

#[test]
fn the_modules_are_hcl_and_allow_what_the_policies_do() {
    let member = shipped("terraform/member/main.tf");
    assert_eq!(actions_in(&member), ["sts:AssumeRole".to_owned()].into());
    for policy in ["iam-policy.json", "iam-policy-tags.json"] {
        // Taken from where they are tested, not copied.
        assert!(member.contains(&format!("file(\"${{path.module}}/../../{policy}\")")));
    }
    let hub = shipped("terraform/hub/main.tf");
    assert_eq!(actions_in(&hub), actions("iam-policy-hub.json"));
    for module in [member, hub] {
        let body = hcl::parse(&module).expect("it is HCL");
        let resources = body
            .blocks()
            .filter(|block| block.identifier() == "resource");
        assert!(resources.count() > 0);
    }
}
