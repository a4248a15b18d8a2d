//! The control under the numbers that benchmarks give it.
//!
//! One rule, access keys are rotated every 90 days or less, goes by another number in each version
//! of the benchmark. Ids, titles and tags are those of Turbot's mod `aws_compliance`, so that what
//! reads its results reads these.

/// The control as one benchmark numbers it.
#[derive(Debug, PartialEq, Eq)]
pub struct Control {
    /// Its name in the mod, e.g. `cis_v200_1_14`.
    pub id: &'static str,
    /// Its number and title in the benchmark.
    pub title: &'static str,
    /// What is checked, in a sentence.
    pub description: &'static str,
    /// `medium`, or empty where the benchmark doesn't tell.
    pub severity: &'static str,
    /// The benchmark and its version.
    pub benchmark: &'static str,
    /// Its number within the benchmark.
    pub item: &'static str,
    /// What the benchmark says of it, by key in the order of the alphabet.
    pub tags: &'static [(&'static str, &'static str)],
}

const DESCRIPTION: &str = "Every active access key of an IAM user is younger than the maximum age, \
    90 days unless the policy says otherwise. Keys that aren't active are skipped.";

/// What an auditor can do about an alarm, in at most 512 characters.
pub const REMEDIATION: &str = "Create a second access key for the user, move the applications to it, make sure \
    that the old key is no longer used (get-access-key-last-used), deactivate it, wait, and delete it. Better \
    still, replace the key with a role that gives temporary credentials.";

/// Where AWS describes that.
pub const REMEDIATION_URL: &str =
    "https://docs.aws.amazon.com/IAM/latest/UserGuide/id_credentials_access-keys-update.html";

macro_rules! cis {
    ($id:literal, $version:literal, $section:literal, $item:literal, $kind:literal) => {
        &Control {
            id: $id,
            title: concat!(
                $item,
                " Ensure access keys are rotated every 90 days or less"
            ),
            description: DESCRIPTION,
            severity: "",
            benchmark: concat!("CIS AWS Foundations Benchmark ", $version),
            item: $item,
            tags: &[
                ("category", "Compliance"),
                ("cis", "true"),
                ("cis_item_id", $item),
                ("cis_level", "1"),
                ("cis_section_id", $section),
                ("cis_type", $kind),
                ("cis_version", $version),
                ("plugin", "aws"),
                ("service", "AWS/IAM"),
            ],
        }
    };
}

const CIS_V120: &Control = cis!("cis_v120_1_4", "v1.2.0", "1", "1.4", "scored");
const CIS_V130: &Control = cis!("cis_v130_1_14", "v1.3.0", "1", "1.14", "automated");
const CIS_V140: &Control = cis!("cis_v140_1_14", "v1.4.0", "1", "1.14", "automated");
const CIS_V150: &Control = cis!("cis_v150_1_14", "v1.5.0", "1", "1.14", "automated");
const CIS_V200: &Control = cis!("cis_v200_1_14", "v2.0.0", "1", "1.14", "automated");
const CIS_V300: &Control = cis!("cis_v300_1_14", "v3.0.0", "1", "1.14", "automated");
const CIS_V400: &Control = cis!("cis_v400_1_14", "v4.0.0", "1", "1.14", "automated");
const CIS_V500: &Control = cis!("cis_v500_1_13", "v5.0.0", "1", "1.13", "automated");
const CIS_V600: &Control = cis!("cis_v600_2_13", "v6.0.0", "2", "2.13", "automated");
const CIS_V700: &Control = cis!("cis_v700_2_12", "v7.0.0", "2", "2.12", "automated");
const IAM_3: &Control = &Control {
    id: "foundational_security_iam_3",
    title: "3 IAM users' access keys should be rotated every 90 days or less",
    description: DESCRIPTION,
    severity: "medium",
    benchmark: "AWS Foundational Security Best Practices",
    item: "IAM.3",
    tags: &[
        ("aws_foundational_security", "true"),
        ("category", "Compliance"),
        ("foundational_security_category", "secure_access_management"),
        ("foundational_security_item_id", "iam_3"),
        ("plugin", "aws"),
        ("service", "AWS/IAM"),
    ],
};

impl Control {
    /// Every numbering, by its id.
    pub const ALL: [(&'static str, &'static Self); 11] = [
        (CIS_V120.id, CIS_V120),
        (CIS_V130.id, CIS_V130),
        (CIS_V140.id, CIS_V140),
        (CIS_V150.id, CIS_V150),
        (CIS_V200.id, CIS_V200),
        (CIS_V300.id, CIS_V300),
        (CIS_V400.id, CIS_V400),
        (CIS_V500.id, CIS_V500),
        (CIS_V600.id, CIS_V600),
        (CIS_V700.id, CIS_V700),
        (IAM_3.id, IAM_3),
    ];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_a_title_and_the_tags_of_a_control_agree() {
        for (id, control) in Control::ALL {
            assert_eq!(id, control.id);
            assert!(control.tags.is_sorted_by_key(|(key, _)| key), "{id}");
            let tag = |name| {
                control
                    .tags
                    .iter()
                    .find(|(key, _)| *key == name)
                    .map(|(_, value)| *value)
            };
            assert_eq!(tag("service"), Some("AWS/IAM"));
            let Some(item) = tag("cis_item_id") else {
                assert_eq!(id, "foundational_security_iam_3");
                continue;
            };
            let version = tag("cis_version").unwrap().replace(['v', '.'], "");
            assert_eq!(id, format!("cis_v{version}_{}", item.replace('.', "_")));
            assert!(control.title.starts_with(&format!("{item} ")), "{id}");
            assert!(item.starts_with(&format!("{}.", tag("cis_section_id").unwrap())));
            assert!(control.benchmark.ends_with(tag("cis_version").unwrap()));
        }
    }

    #[test]
    fn the_remediation_fits_the_security_hub_field() {
        assert!(REMEDIATION.len() <= 512);
    }
}
