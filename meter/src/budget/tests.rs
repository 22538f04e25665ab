use super::*;
use crate::window::{Calendar, Period};
use proptest::prelude::*;

const DAY_US: i64 = 86_400_000_000;

fn daily(limit: u64) -> Budget {
    let window = Window::Calendar(Calendar::new(Period::Day, "UTC").unwrap());
    Budget { limit, window, thresholds: vec![50, 80, 100] }
}

fn rolling(limit: u64) -> Budget {
    Budget { limit, window: Window::Rolling(DAY_US), thresholds: vec![50, 80, 100] }
}

fn settle(spending: &mut Spending, budget: &Budget, now_us: i64, reserve: u64, actual: u64) -> Vec<u16> {
    let reservation = spending.reserve(budget, now_us, reserve).unwrap();
    spending.settle(budget, now_us, reservation, actual).collect()
}

#[test]
fn what_is_held_is_not_there_for_others_and_comes_back() {
    let budget = daily(100);
    let mut spending = Spending::new(&budget.window);
    let first = spending.reserve(&budget, 1, 60).unwrap();
    assert_eq!(spending.reserve(&budget, 2, 41), Err(Full::Held));
    let second = spending.reserve(&budget, 2, 40).unwrap();
    assert_eq!(spending.settle(&budget, 3, first, 0).count(), 0);
    assert_eq!(spending.level(&budget, 3), Level { settled: 0, reserved: 40, resets_us: Some(DAY_US) });
    assert_eq!(spending.settle(&budget, 3, second, 39).count(), 0);
    assert_eq!(spending.reserve(&budget, 4, 62), Err(Full::Spent { frees_us: DAY_US }));
    assert_eq!(spending.reserve(&budget, 4, 101), Err(Full::TooLarge));
    assert!(spending.reserve(&budget, 4, 61).is_ok());
}

#[test]
fn a_spent_budget_admits_nothing_until_its_window_ends_not_even_what_costs_nothing() {
    for budget in [daily(100), rolling(100)] {
        let mut spending = Spending::new(&budget.window);
        settle(&mut spending, &budget, 0, 100, 100);
        let Err(Full::Spent { frees_us }) = spending.reserve(&budget, 1, 0) else { panic!("it is spent") };
        assert!(spending.clone().reserve(&budget, frees_us - 1, 0).is_err());
        assert!(spending.reserve(&budget, frees_us, 0).is_ok());
    }
    assert_eq!(
        Spending::new(&daily(0).window).reserve(&daily(0), 1, 0),
        Err(Full::Spent { frees_us: DAY_US })
    );
}

#[test]
fn another_limit_goes_on_with_what_was_spent() {
    let mut spending = Spending::new(&daily(100).window);
    assert_eq!(settle(&mut spending, &daily(100), 0, 100, 100), [50, 80, 100]);
    assert!(spending.reserve(&daily(100), 1, 1).is_err());
    let raised = daily(200);
    assert_eq!(settle(&mut spending, &raised, 1, 60, 60), [0_u16; 0], "each is told once in a window");
    assert_eq!(spending.level(&raised, 1).settled, 160);
    assert_eq!(spending.reserve(&daily(150), 1, 1), Err(Full::Spent { frees_us: DAY_US }));
}

#[test]
fn each_threshold_is_told_once_in_a_window_and_again_in_the_next() {
    for budget in [daily(100), rolling(100)] {
        let mut spending = Spending::new(&budget.window);
        assert_eq!(settle(&mut spending, &budget, 0, 49, 49), [0_u16; 0]);
        assert_eq!(settle(&mut spending, &budget, 1, 1, 1), [50]);
        assert_eq!(settle(&mut spending, &budget, 2, 1, 1), [0_u16; 0]);
        assert_eq!(
            settle(&mut spending, &budget, 3, 49, 60),
            [80, 100],
            "what an exchange cost beyond its reservation counts"
        );
        assert_eq!(settle(&mut spending, &budget, 3 * DAY_US, 85, 85), [50, 80]);
    }
}

#[test]
fn what_began_in_a_window_is_spent_in_it() {
    let budget = daily(100);
    let mut spending = Spending::new(&budget.window);
    let late = spending.reserve(&budget, DAY_US - 1, 70).unwrap();
    assert_eq!(spending.reserve(&budget, DAY_US, 31), Err(Full::Held), "held room is held over midnight");
    assert_eq!(spending.settle(&budget, DAY_US, late, 70).count(), 0);
    assert_eq!(
        spending.level(&budget, DAY_US),
        Level { settled: 0, reserved: 0, resets_us: Some(2 * DAY_US) }
    );
}

#[test]
fn history_comes_back_in_whatever_window_is_asked_for() {
    let history = [(DAY_US - 10, 10), (DAY_US + 10, 25), (DAY_US + 20, 30)];
    let mut spending = Spending::new(&daily(100).window);
    let held = spending.insist(DAY_US, 5);
    spending.restart(&daily(100), DAY_US + 30, history);
    assert_eq!(
        spending.level(&daily(100), DAY_US + 30),
        Level { settled: 55, reserved: 5, resets_us: Some(2 * DAY_US) }
    );
    assert_eq!(spending.settle(&daily(100), DAY_US + 30, held, 0).count(), 0, "50 was told before");
    spending.restart(&rolling(100), DAY_US + 30, history);
    assert_eq!(
        spending.level(&rolling(100), DAY_US + 30),
        Level { settled: 65, reserved: 0, resets_us: None }
    );
}

#[test]
fn shares_are_rounded_up_and_never_nothing() {
    assert_eq!([share(3, 50), share(0, 50), share(100, 80), share(u64::MAX, 100)], [2, 1, 80, u64::MAX]);
    assert_eq!(share(u64::MAX, 200), u64::MAX);
}

#[test]
fn what_turns_out_larger_holds_more_as_long_as_there_is_room() {
    let budget = daily(100);
    let mut spending = Spending::new(&budget.window);
    let mut growing = spending.reserve(&budget, 0, 40).unwrap();
    let other = spending.reserve(&budget, 0, 50).unwrap();
    assert!(spending.extend(&budget, 1, &mut growing, 10));
    assert!(!spending.extend(&budget, 1, &mut growing, 1));
    assert_eq!(growing.amount(), 50);
    assert_eq!(spending.settle(&budget, 2, other, 20).count(), 0);
    assert!(spending.extend(&budget, 2, &mut growing, 30));
    assert!(!spending.extend(&budget, 2, &mut growing, 1));
    drop(spending.settle(&budget, 3, growing, 80));
    assert_eq!(spending.level(&budget, 3), Level { settled: 100, reserved: 0, resets_us: Some(DAY_US) });
}

#[derive(Debug, Clone)]
enum Step {
    Reserve(u64),
    Extend { which: usize, more: u64 },
    Settle { which: usize, share: u8 },
    Wait(i64),
    Limit(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0_u64..60).prop_map(Step::Reserve),
        4 => (any::<usize>(), 0_u8..=100).prop_map(|(which, share)| Step::Settle { which, share }),
        2 => (any::<usize>(), 0_u64..30).prop_map(|(which, more)| Step::Extend { which, more }),
        1 => (1_i64..DAY_US).prop_map(Step::Wait),
        1 => (50_u64..150).prop_map(Step::Limit),
    ];
    proptest::collection::vec(step, 1..200)
}

proptest! {
    /// Whatever the interleaving: if nothing costs more than was reserved for it, the limit is never passed; when all is
    /// settled nothing is held; and each threshold is told at most once in a window.
    #[test]
    fn the_limit_holds_under_any_interleaving(steps in steps(), is_rolling in any::<bool>()) {
        let mut budget = if is_rolling { rolling(100) } else { daily(100) };
        let mut spending = Spending::new(&budget.window);
        let mut open: Vec<Reservation> = Vec::new();
        let mut told: Vec<(u16, i64)> = Vec::new();
        let mut now = 0;
        for step in steps {
            match step {
                Step::Reserve(amount) => {
                    let before = spending.level(&budget, now);
                    match spending.reserve(&budget, now, amount) {
                        Ok(reservation) => {
                            open.push(reservation);
                            let level = spending.level(&budget, now);
                            prop_assert!(level.settled + level.reserved <= budget.limit);
                        }
                        Err(_) => prop_assert_eq!(spending.level(&budget, now), before, "a refusal takes nothing"),
                    }
                }
                Step::Settle { which, share } if !open.is_empty() => {
                    let reservation = open.swap_remove(which % open.len());
                    let actual = reservation.amount() * u64::from(share) / 100;
                    for threshold in spending.settle(&budget, now, reservation, actual) {
                        let window = budget.window.from_us(now);
                        prop_assert!(!told.iter().any(|(other, at)| *other == threshold && *at >= window));
                        told.push((threshold, now));
                    }
                }
                Step::Extend { which, more } if !open.is_empty() => {
                    let which = which % open.len();
                    if spending.extend(&budget, now, &mut open[which], more) && more > 0 {
                        let level = spending.level(&budget, now);
                        prop_assert!(level.settled + level.reserved <= budget.limit);
                    }
                }
                Step::Settle { .. } | Step::Extend { .. } => {}
                Step::Wait(time) => now += time,
                Step::Limit(limit) => budget.limit = limit,
            }
        }
        for reservation in open {
            drop(spending.settle(&budget, now, reservation, 0));
        }
        prop_assert_eq!(spending.level(&budget, now).reserved, 0);
    }

    /// Beyond the limit goes at most what exchanges cost beyond their reservations.
    #[test]
    fn what_is_spent_beyond_the_limit_is_what_reservations_missed(
        exchanges in proptest::collection::vec((0_u64..40, 0_u64..80, any::<bool>()), 1..100),
    ) {
        let budget = daily(100);
        let mut spending = Spending::new(&budget.window);
        let (mut open, mut missed) = (Vec::new(), 0);
        for (reserve, actual, settles) in exchanges {
            if let Ok(reservation) = spending.reserve(&budget, 0, reserve) {
                open.push((reservation, actual));
            }
            if settles && let Some((reservation, actual)) = open.pop() {
                missed += actual.saturating_sub(reservation.amount());
                drop(spending.settle(&budget, 0, reservation, actual));
            }
        }
        for (reservation, actual) in open {
            missed += actual.saturating_sub(reservation.amount());
            drop(spending.settle(&budget, 0, reservation, actual));
        }
        prop_assert!(spending.level(&budget, 0).settled <= budget.limit + missed);
    }
}

#[test]
fn a_clock_that_goes_back_stays_in_the_window_at_hand_and_spends_in_it() {
    let budget = daily(100);
    let mut spending = Spending::new(&budget.window);
    settle(&mut spending, &budget, 5 * DAY_US, 10, 10);
    settle(&mut spending, &budget, 2 * DAY_US, 50, 50);
    assert_eq!(spending.level(&budget, 2 * DAY_US + 1).settled, 60);
    assert_eq!(spending.reserve(&budget, 2 * DAY_US + 2, 41), Err(Full::Spent { frees_us: 6 * DAY_US }));
}

#[test]
fn thresholds_that_are_edited_are_told_once_each() {
    let at = |thresholds: &[u16]| Budget { thresholds: thresholds.to_vec(), ..daily(100) };
    let mut spending = Spending::new(&at(&[50, 80, 100]).window);
    assert_eq!(settle(&mut spending, &at(&[50, 80, 100]), 1, 60, 60), [50]);
    assert_eq!(settle(&mut spending, &at(&[80, 100]), 2, 25, 25), [80]);
    assert_eq!(settle(&mut spending, &at(&[50, 70, 80, 100]), 3, 5, 5), [70], "the others were told");
    // However often they are edited, there is room for all that are told.
    for round in 0..20_u16 {
        let others: Vec<u16> = (1..=8).map(|number| number + round).collect();
        assert!(settle(&mut spending, &at(&others), 4, 0, 0).len() <= 8);
    }
}
