//! The account that most of the tests look at.

use super::moto::{Moto, Used};

/// A user of the seeded account.
pub(crate) struct Seed {
    pub(crate) user: &'static str,
    pub(crate) keys: &'static [Key],
}

/// A key of such a user.
pub(crate) struct Key {
    pub(crate) age_days: f64,
    active: bool,
    used: Used,
}

const fn active(age_days: f64, used: Used) -> Key {
    Key {
        age_days,
        active: true,
        used,
    }
}

const fn inactive(age_days: f64, used: Used) -> Key {
    Key {
        age_days,
        active: false,
        used,
    }
}

/// Both sides of the limit, every status, every kind of last use, one key, two and none, and each punctuation mark
/// that IAM allows in a name.
pub(crate) const SEEDS: &[Seed] = &[
    Seed {
        user: "over-the-limit",
        keys: &[active(100.0, Used::DaysAgo(1.0))],
    },
    Seed {
        user: "just-within",
        keys: &[active(89.0, Used::DaysAgo(0.5))],
    },
    Seed {
        user: "just-over",
        keys: &[active(90.1, Used::DaysAgo(3.0))],
    },
    Seed {
        user: "old-but-inactive",
        keys: &[inactive(91.0, Used::DaysAgo(80.0))],
    },
    Seed {
        user: "never-used",
        keys: &[active(10.0, Used::Never)],
    },
    Seed {
        user: "forgotten",
        keys: &[active(400.0, Used::Never)],
    },
    Seed {
        user: "moved-on",
        keys: &[
            active(120.0, Used::DaysAgo(30.0)),
            active(31.0, Used::DaysAgo(0.2)),
        ],
    },
    Seed {
        user: "both-overdue",
        keys: &[
            active(301.0, Used::DaysAgo(2.0)),
            active(300.0, Used::DaysAgo(0.1)),
        ],
    },
    Seed {
        user: "blocked-by-an-idle-key",
        keys: &[
            active(95.0, Used::DaysAgo(2.0)),
            inactive(60.0, Used::DaysAgo(50.0)),
        ],
    },
    Seed {
        user: "rotated",
        keys: &[
            inactive(200.0, Used::DaysAgo(100.0)),
            active(30.0, Used::DaysAgo(0.3)),
        ],
    },
    Seed {
        user: "newborn",
        keys: &[active(0.01, Used::Never)],
    },
    Seed {
        user: "no-keys",
        keys: &[],
    },
    Seed {
        user: "+=,.@_-every.mark+of=IAM,in@one_name-",
        keys: &[active(150.0, Used::DaysAgo(4.0))],
    },
    Seed {
        user: "=1+1",
        keys: &[active(92.5, Used::Never)],
    },
    Seed {
        user: "team,platform",
        keys: &[
            active(45.0, Used::DaysAgo(0.7)),
            inactive(46.0, Used::Never),
        ],
    },
];

/// A moto that holds the account of [`SEEDS`], with a fresh report.
pub(crate) async fn seeded() -> Moto {
    let moto = Moto::start();
    for seed in SEEDS {
        // A key cannot be older than its user.
        let oldest = seed.keys.iter().map(|key| key.age_days);
        moto.add_user(seed.user, oldest.fold(0.0, f64::max) + 1.0)
            .await;
        for key in seed.keys {
            moto.add_key(seed.user, key.age_days, key.active, key.used)
                .await;
        }
    }
    moto.keep_report_fresh().await;
    moto
}
