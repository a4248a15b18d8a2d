use std::sync::atomic::AtomicUsize;

use futures_util::future::join_all;
use proptest::prelude::*;
use tokio::{sync::oneshot, time::sleep};

use super::*;

const LATENCY: Duration = Duration::from_millis(30);
const PATIENT: Duration = Duration::from_hours(1);

fn pace(at_once: usize, per_second: Option<u16>) -> Pace {
    Pace {
        at_once,
        per_second,
    }
}

/// One call of one attempt, as the HTTP client makes it.
async fn call(lane: &Arc<Lane>, latency: Duration) -> Option<()> {
    lane.call(PATIENT, async {
        let pass = Pass::current().expect("within a call");
        pass.attempt(async { sleep(latency).await }, |()| true)
            .await;
    })
    .await
}

/// As many calls as there may be at once, until there were `calls`.
async fn calls(lane: &Arc<Lane>, calls: usize, latency: Duration) {
    join_all((0..calls).map(|_| call(lane, latency))).await;
}

/// A call that is never answered.
async fn hang(lane: &Arc<Lane>) -> Option<()> {
    call(lane, PATIENT * 2).await
}

#[tokio::test(start_paused = true)]
async fn no_more_attempts_are_under_way_than_the_gate_lets_through() {
    let gate = Gate::new(8);
    let (under_way, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let lanes: Vec<_> = (0..10)
        .map(|_| Lane::new(Arc::clone(&gate), pace(4, None)))
        .collect();
    let attempt = || async {
        let now = under_way.fetch_add(1, Ordering::Relaxed) + 1;
        most.fetch_max(now, Ordering::Relaxed);
        sleep(LATENCY).await;
        under_way.fetch_sub(1, Ordering::Relaxed);
    };
    join_all(lanes.iter().flat_map(|lane| {
        (0..20).map(|_| {
            lane.call(PATIENT, async {
                let pass = Pass::current().expect("within a call");
                pass.attempt(attempt(), |()| true).await;
            })
        })
    }))
    .await;
    assert_eq!(most.into_inner(), 8);
}

#[tokio::test(start_paused = true)]
async fn an_account_with_thousands_of_users_is_one_in_the_queue_among_others() {
    let gate = Gate::new(4);
    let big = Lane::new(Arc::clone(&gate), pace(4, None));
    let small = Lane::new(Arc::clone(&gate), pace(4, None));
    let start = Instant::now();
    let (big, small) = tokio::join!(
        async {
            calls(&big, 5000, LATENCY).await;
            start.elapsed()
        },
        async {
            sleep(LATENCY).await;
            calls(&small, 40, LATENCY).await;
            start.elapsed()
        },
    );
    // Alone it takes 10 rounds; beside the other at most twice as many, and one to begin with.
    assert!(small <= LATENCY * 22, "{small:?}");
    assert!(big >= LATENCY * 1250);
}

#[tokio::test(start_paused = true)]
async fn pauses_between_attempts_and_a_slow_call_hold_no_permit() {
    let gate = Gate::new(1);
    let pausing = Lane::new(Arc::clone(&gate), pace(1, None));
    let other = Lane::new(Arc::clone(&gate), pace(1, None));
    let retried = pausing.call(PATIENT, async {
        let pass = Pass::current().expect("within a call");
        pass.attempt(async { sleep(LATENCY).await }, |()| true)
            .await;
        sleep(Duration::from_mins(1)).await;
        pass.attempt(async { sleep(LATENCY).await }, |()| true)
            .await;
    });
    let start = Instant::now();
    let soon = async {
        sleep(LATENCY / 2).await;
        calls(&other, 5, LATENCY).await;
        start.elapsed()
    };
    assert!(tokio::join!(retried, soon).1 <= LATENCY * 6);

    let start = Instant::now();
    let (slow, soon) = tokio::join!(call(&pausing, Duration::from_secs(20)), async {
        sleep(LATENCY).await;
        calls(&other, 5, LATENCY).await;
        start.elapsed()
    });
    assert_eq!(slow, Some(()));
    assert!(soon <= PROMPT + LATENCY * 5, "{soon:?}");
}

#[tokio::test(start_paused = true)]
async fn a_silent_account_tries_one_call_at_a_time_until_it_is_answered() {
    let gate = Gate::new(100);
    let lane = Lane::new(Arc::clone(&gate), pace(16, None));
    let mut answers = Vec::new();
    let under_way = AtomicUsize::new(0);
    let attempts: Vec<_> = (0..20)
        .map(|_| {
            let (answer, answered) = oneshot::channel::<()>();
            answers.push(answer);
            lane.call(PATIENT, async {
                let pass = Pass::current().expect("within a call");
                let attempt = async {
                    under_way.fetch_add(1, Ordering::Relaxed);
                    let is_answer = answered.await.is_ok();
                    under_way.fetch_sub(1, Ordering::Relaxed);
                    is_answer
                };
                pass.attempt(attempt, |is_answer| *is_answer).await;
            })
        })
        .collect();
    let all = join_all(attempts);
    let script = async {
        let mut answers = answers.into_iter();
        sleep(PROMPT * 2).await;
        assert_eq!(under_way.load(Ordering::Relaxed), 16);
        // Those 16 break off without an answer, and one alone goes on.
        answers.by_ref().take(16).for_each(drop);
        sleep(PROMPT * 2).await;
        assert_eq!(under_way.load(Ordering::Relaxed), 1);
        answers.next().unwrap().send(()).unwrap();
        sleep(LATENCY).await;
        assert_eq!(under_way.load(Ordering::Relaxed), 3);
        drop(answers);
    };
    tokio::join!(all, script);
}

#[tokio::test(start_paused = true)]
async fn a_call_has_its_time_from_where_the_gate_let_it_through() {
    let gate = Gate::new(1);
    let (first, second) = (
        Lane::new(Arc::clone(&gate), pace(8, None)),
        Lane::new(Arc::clone(&gate), pace(1, None)),
    );
    let limit = Duration::from_millis(800);
    let limited = |latency| {
        second.call(limit, async move {
            let pass = Pass::current().expect("within a call");
            pass.attempt(async { sleep(latency).await }, |()| true)
                .await;
        })
    };
    // 4 s in the queue, then half of its time.
    let (_, answer) = tokio::join!(
        join_all((0..8).map(|_| call(&first, Duration::from_millis(500)))),
        limited(limit / 2)
    );
    assert_eq!(answer, Some(()));
    let start = Instant::now();
    assert_eq!(limited(limit * 2).await, None);
    assert_eq!(start.elapsed(), limit);
}

#[tokio::test(start_paused = true)]
async fn only_so_many_accounts_are_read_at_once_and_silent_ones_do_not_count() {
    let gate = Gate::new(1);
    let lanes: Vec<_> = (0..5)
        .map(|_| Lane::new(Arc::clone(&gate), pace(1, None)))
        .collect();
    let later = || Instant::now() + PATIENT;
    let first = lanes[0].enter(later()).await;
    let _second = lanes[1].enter(later()).await;
    let start = Instant::now();
    let soon = start + LATENCY;
    lanes[2].enter(soon).await;
    assert_eq!(Instant::now(), soon, "it goes on without a place");
    tokio::select! {
        _ = hang(&lanes[1]) => unreachable!("it hangs"),
        place = lanes[3].enter(later()) => drop(place),
    }
    assert_eq!(start.elapsed(), LATENCY + PROMPT);
    drop(first);
    let _third = lanes[3].enter(later()).await;
    let _fourth = lanes[4].enter(later()).await;
}

#[tokio::test(start_paused = true)]
async fn hanging_accounts_delay_the_others_by_less_than_a_twentieth() {
    const ACCOUNTS: u32 = 300;
    /// The 99th percentile of how long healthy accounts take that begin within a time. The others
    /// answer some calls and then no more.
    async fn p99(hanging: usize, answered: usize, within: Duration) -> Duration {
        let gate = Gate::new(20);
        let lanes: Vec<_> = (0..ACCOUNTS)
            .map(|_| Lane::new(Arc::clone(&gate), pace(16, Some(15))))
            .collect();
        // The report, and then the users with old keys.
        let read = async |lane: &Arc<Lane>, n: u32| {
            sleep(within * n / ACCOUNTS).await;
            let start = Instant::now();
            let _place = lane.enter(start + PATIENT).await;
            call(lane, LATENCY).await;
            call(lane, LATENCY).await;
            calls(lane, 50, LATENCY).await;
            start.elapsed()
        };
        let read = &read;
        let (silent, healthy) = lanes.split_at(hanging);
        let healthy = join_all(
            healthy
                .iter()
                .zip(0..)
                .map(|(lane, n)| async move { read(lane, n).await }),
        );
        let silent = join_all(silent.iter().zip(0..).map(|(lane, n)| async move {
            sleep(within * n * 100 / ACCOUNTS).await;
            let _place = lane.enter(Instant::now() + PATIENT).await;
            for _ in 0..answered {
                call(lane, LATENCY).await;
            }
            join_all((0..50).map(|_| hang(lane))).await;
        }));
        let never = async {
            silent.await;
            std::future::pending::<()>().await;
        };
        let mut took = tokio::select! {
            took = healthy => took,
            () = never => unreachable!("the hanging ones never end"),
        };
        took.sort_unstable();
        took[took.len() * 99 / 100]
    }
    for within in [Duration::ZERO, Duration::from_mins(1)] {
        let without = p99(0, 0, within).await;
        for answered in [0, 2] {
            let with = p99(3, answered, within).await;
            assert!(
                with < without.mul_f64(1.05),
                "within {within:?}, after {answered} answers: {without:?}, {with:?}"
            );
        }
    }
}

proptest! {
    #[test]
    fn slots_keep_to_the_rate_over_any_stretch(
        per_second in 1..200_u16,
        gaps in proptest::collection::vec(0..400_u64, 1..200),
    ) {
        let slots = Slots::new(per_second);
        let start = Instant::now();
        let mut now = start;
        let mut taken: Vec<Instant> = Vec::new();
        for gap in gaps {
            now += Duration::from_millis(gap);
            let slot = slots.next(now);
            prop_assert!(slot >= now);
            prop_assert!(taken.last().is_none_or(|last| *last <= slot), "the order of asking is kept");
            taken.push(slot);
        }
        let burst = (f64::from(per_second) * BURST).max(1.0);
        for (n, first) in taken.iter().enumerate() {
            for (more, last) in taken[n..].iter().enumerate() {
                let calls = f64::from(u32::try_from(more).unwrap() + 1);
                let allowed = (*last - *first).as_secs_f64() * f64::from(per_second) + burst;
                prop_assert!(calls <= allowed + 0.01, "{calls} calls, {allowed} allowed");
            }
        }
    }

    /// However calls of several accounts come, none waits for ever: all end.
    #[test]
    fn every_call_is_made_in_the_end(
        most in 1..6_usize,
        lanes in proptest::collection::vec(proptest::collection::vec(1..3000_u64, 0..12), 1..8),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let gate = Gate::new(most);
            join_all(lanes.iter().map(|latencies| {
                let lane = Lane::new(Arc::clone(&gate), pace(3, Some(20)));
                async move {
                    join_all(latencies.iter().map(|ms| call(&lane, Duration::from_millis(*ms)))).await
                }
            }))
            .await;
        });
    }
}
