//! The IAM policies that are shipped, and what is left of them without one action.

use std::fs;

use serde_json::Value;

use super::tools;

/// The operation's name without its service, as the `operation` label has it.
pub(crate) fn operation(action: &str) -> &str {
    action
        .strip_prefix("iam:")
        .expect("the policies are about IAM only")
}

/// A policy of `deploy/aws`.
pub(crate) fn shipped_policy(name: &str) -> Value {
    let path = tools::repository(&format!("deploy/aws/{name}.json"));
    let text = fs::read_to_string(path).expect("the shipped policy is readable");
    serde_json::from_str(&text).expect("the shipped policy is JSON")
}

/// Every action that the policy allows.
pub(crate) fn actions(policy: &Value) -> Vec<String> {
    policy["Statement"]
        .as_array()
        .expect("a policy has statements")
        .iter()
        .flat_map(|statement| statement["Action"].as_array().expect("actions are a list"))
        .map(|action| action.as_str().expect("an action is text").to_owned())
        .collect()
}

/// The policy with one action taken out, and the statement with it if it was the last one there.
pub(crate) fn without(policy: &Value, action: &str) -> Value {
    let mut policy = policy.clone();
    let statements = policy["Statement"]
        .as_array_mut()
        .expect("a policy has statements");
    for statement in &mut *statements {
        statement["Action"]
            .as_array_mut()
            .expect("actions are a list")
            .retain(|have| have != action);
    }
    statements.retain(|statement| statement["Action"] != Value::Array(Vec::new()));
    policy
}
