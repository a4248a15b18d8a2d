//! Partitions of AWS: parts of it that know nothing of each other.
//!
//! Source: AWS Fault Isolation Boundaries, "Partitions", and the endpoints that the Organizations
//! User Guide names.

/// The partition that a region is in, as its name tells.
pub(super) fn of_region(region: &str) -> &'static str {
    const BY_PREFIX: [(&str, &str); 7] = [
        ("cn-", "aws-cn"),
        ("us-gov-", "aws-us-gov"),
        ("us-iso-", "aws-iso"),
        ("us-isob-", "aws-iso-b"),
        ("eu-isoe-", "aws-iso-e"),
        ("us-isof-", "aws-iso-f"),
        ("eusc-", "aws-eusc"),
    ];
    BY_PREFIX
        .iter()
        .find(|(prefix, _)| region.starts_with(prefix))
        .map_or("aws", |(_, partition)| partition)
}

/// The region where a partition keeps what it has only once, as Organizations is.
pub(super) fn home_region(partition: &str) -> &'static str {
    match partition {
        "aws-cn" => "cn-northwest-1",
        "aws-us-gov" => "us-gov-west-1",
        "aws-iso" => "us-iso-east-1",
        "aws-iso-b" => "us-isob-east-1",
        "aws-iso-e" => "eu-isoe-west-1",
        "aws-iso-f" => "us-isof-south-1",
        "aws-eusc" => "eusc-de-east-1",
        _ => "us-east-1",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_home_region_is_in_its_partition() {
        for partition in [
            "aws",
            "aws-cn",
            "aws-us-gov",
            "aws-iso",
            "aws-iso-b",
            "aws-iso-e",
            "aws-iso-f",
            "aws-eusc",
        ] {
            assert_eq!(of_region(home_region(partition)), partition);
        }
        assert_eq!(of_region("eu-central-1"), "aws");
        assert_eq!(of_region("us-gov-east-1"), "aws-us-gov");
        assert_eq!(home_region("aws-of-tomorrow"), "us-east-1");
    }
}
