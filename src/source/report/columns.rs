//! Which columns a report needs, which help, and where they stand.

use csv::StringRecord;

use super::ParseError;
use crate::key::Slot;

/// Where each column stands.
pub(super) struct Columns {
    pub(super) count: usize,
    pub(super) user: usize,
    pub(super) arn: usize,
    pub(super) created: Option<usize>,
    pub(super) slots: [SlotColumns; 2],
}

/// Where the columns of one slot stand.
pub(super) struct SlotColumns {
    pub(super) slot: Slot,
    pub(super) names: &'static SlotNames,
    pub(super) active: usize,
    pub(super) last_rotated: usize,
    pub(super) used_date: Option<usize>,
    pub(super) used_region: Option<usize>,
    pub(super) used_service: Option<usize>,
}

/// What the columns of one slot are called.
pub(super) struct SlotNames {
    pub(super) active: &'static str,
    pub(super) last_rotated: &'static str,
    pub(super) used_date: &'static str,
    pub(super) used_region: &'static str,
    pub(super) used_service: &'static str,
}

const SLOT_NAMES: [SlotNames; 2] = [
    SlotNames {
        active: "access_key_1_active",
        last_rotated: "access_key_1_last_rotated",
        used_date: "access_key_1_last_used_date",
        used_region: "access_key_1_last_used_region",
        used_service: "access_key_1_last_used_service",
    },
    SlotNames {
        active: "access_key_2_active",
        last_rotated: "access_key_2_last_rotated",
        used_date: "access_key_2_last_used_date",
        used_region: "access_key_2_last_used_region",
        used_service: "access_key_2_last_used_service",
    },
];

impl Columns {
    /// Without the columns of the last use it is unknown, and without `user_creation_time` two users
    /// of one name can't be told apart: both can be lived with. The others can't.
    pub(super) fn find(header: &StringRecord) -> Result<Self, ParseError> {
        let mut missing = Vec::new();
        let optional = |name: &'static str| {
            let mut places = header
                .iter()
                .enumerate()
                .filter(|(_, column)| column.trim() == name)
                .map(|(place, _)| place);
            match (places.next(), places.next()) {
                (_, Some(_)) => Err(ParseError::ColumnTwice { column: name }),
                (place, None) => Ok(place),
            }
        };
        let mut needed = |name| {
            optional(name).map(|place| {
                place.unwrap_or_else(|| {
                    missing.push(name);
                    0
                })
            })
        };
        let mut slot = |slot, names: &'static SlotNames| {
            Ok(SlotColumns {
                slot,
                names,
                active: needed(names.active)?,
                last_rotated: needed(names.last_rotated)?,
                used_date: optional(names.used_date)?,
                used_region: optional(names.used_region)?,
                used_service: optional(names.used_service)?,
            })
        };
        let slots = [
            slot(Slot::One, &SLOT_NAMES[0])?,
            slot(Slot::Two, &SLOT_NAMES[1])?,
        ];
        let columns = Self {
            count: header.len(),
            user: needed("user")?,
            arn: needed("arn")?,
            created: optional("user_creation_time")?,
            slots,
        };
        if missing.is_empty() {
            Ok(columns)
        } else {
            Err(ParseError::MissingColumns { columns: missing })
        }
    }
}
