//! An organization: its units, its accounts, and how it lists them.

use std::collections::BTreeMap;

/// What an account is going through. `State` has all of them; `Status`, which came before it, has three.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MemberState {
    PendingActivation,
    #[default]
    Active,
    Suspended,
    PendingClosure,
    Closed,
}

impl MemberState {
    pub(super) fn state(self) -> &'static str {
        match self {
            Self::PendingActivation => "PENDING_ACTIVATION",
            Self::Active => "ACTIVE",
            Self::Suspended => "SUSPENDED",
            Self::PendingClosure => "PENDING_CLOSURE",
            Self::Closed => "CLOSED",
        }
    }

    pub(super) fn status(self) -> &'static str {
        match self {
            Self::Active => "ACTIVE",
            Self::PendingClosure => "PENDING_CLOSURE",
            Self::PendingActivation | Self::Suspended | Self::Closed => "SUSPENDED",
        }
    }
}

/// Which of the two fields a listing has: `Status` gives way to `State`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StateFields {
    #[default]
    Both,
    Status,
    State,
}

/// An account as the organization knows it. Its id is the key of the map it is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    pub name: String,
    pub state: MemberState,
    /// The root or a unit.
    pub parent: String,
    pub tags: BTreeMap<String, String>,
}

/// An organizational unit. Its id is the key of the map it is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unit {
    pub name: String,
    /// The root or a unit.
    pub parent: String,
    pub tags: BTreeMap<String, String>,
}

/// An organization. The first account of the fake manages it.
pub struct Organization {
    /// By account id; that of the management account is among them.
    pub members: BTreeMap<String, Member>,
    /// By id.
    pub units: BTreeMap<String, Unit>,
    /// Accounts beside that of the management that may read it.
    pub delegates: Vec<String>,
    /// The longest page. AWS gives 20 at most.
    pub page_size: usize,
    /// Whether an empty page with a token comes before each page, as AWS warns it may.
    pub empty_pages: bool,
    pub state_fields: StateFields,
    pub(super) management: String,
}

impl Organization {
    /// The only root.
    pub const ROOT: &'static str = "r-fake";
    pub(super) const ID: &'static str = "o-fakefakefa";

    pub(super) fn of(management: &str) -> Self {
        let mut organization = Self {
            members: BTreeMap::new(),
            units: BTreeMap::new(),
            delegates: Vec::new(),
            page_size: 20,
            empty_pages: false,
            state_fields: StateFields::default(),
            management: management.to_owned(),
        };
        organization.add(management, "management");
        organization
    }

    /// Takes in an account below the root, active and without tags.
    pub fn add(&mut self, id: &str, name: &str) -> &mut Member {
        let member = Member {
            name: name.to_owned(),
            state: MemberState::Active,
            parent: Self::ROOT.to_owned(),
            tags: BTreeMap::new(),
        };
        self.members
            .entry(id.to_owned())
            .insert_entry(member)
            .into_mut()
    }

    /// The account, to be changed.
    ///
    /// # Panics
    /// If there is none of this id.
    pub fn member_mut(&mut self, id: &str) -> &mut Member {
        self.members
            .get_mut(id)
            .unwrap_or_else(|| panic!("the organization has no account {id}"))
    }

    /// Makes a unit below the root or another unit. Returns its id.
    pub fn add_unit(&mut self, name: &str, parent: &str) -> String {
        let id = format!("ou-fake-{:08}", self.units.len() + 1);
        let unit = Unit {
            name: name.to_owned(),
            parent: parent.to_owned(),
            tags: BTreeMap::new(),
        };
        self.units.insert(id.clone(), unit);
        id
    }

    /// Whether accounts and units can be below it.
    pub(super) fn is_parent(&self, id: &str) -> bool {
        id == Self::ROOT || self.units.contains_key(id)
    }
}
