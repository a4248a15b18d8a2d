//! The users' tags as labels.

use std::fmt;

use prometheus_client::encoding::DescriptorEncoder;

use super::keys::{gauge, inventories};
use crate::snapshot::Snapshot;

/// Writes the families of user tags.
pub(super) fn encode(snapshot: &Snapshot, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let mut family = gauge(
        encoder,
        "aws_iam_user_tags_info",
        "The user's IAM tags that the configuration asks for, as labels, as of the last refresh that could read them; \
         absent without one. Read of users with an old access key only.",
    )?;
    let mut labels = Vec::new();
    for (account, inventory) in inventories(snapshot) {
        for user in &inventory.users {
            labels.clear();
            labels.extend([("account_id", account), ("user_name", &*user.name)]);
            let tags = snapshot.tags.iter();
            labels.extend(tags.filter_map(|tag| Some((&*tag.label, user.tags.get(&tag.tag)?))));
            if labels.len() > 2 {
                family.encode_family(&labels)?.encode_gauge(&1_u32)?;
            }
        }
    }
    let mut family = gauge(
        encoder,
        "iam_key_exporter_unread_user_tags",
        "Users of the account whose tags the last refresh asked for and could not read: no rule by tag holds for them, \
         and the smallest maximum age that may apply does. Absent where it could not read the account at all.",
    )?;
    let wanted = snapshot.policy.tag_keys();
    for account in snapshot.accounts.iter().filter(|account| account.reached) {
        if let Some(inventory) = &account.inventory {
            family
                .encode_family(&[("account_id", account.id.as_str())])?
                .encode_gauge(&inventory.users_with_unread_tags(&wanted))?;
        }
    }
    Ok(())
}
