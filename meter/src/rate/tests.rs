use super::*;
use crate::window::STEPS;
use proptest::prelude::*;

const MINUTE_US: i64 = 60_000_000;

fn limit(requests: Option<u64>, tokens: Option<u64>, concurrent: Option<u64>) -> RateLimit {
    RateLimit { requests, tokens, concurrent, length_us: MINUTE_US }
}

#[test]
fn the_boundary_is_exact() {
    let limit = limit(Some(3), None, None);
    let mut rate = Rate::new(&limit);
    for _ in 0..3 {
        assert!(rate.admit(&limit, 500_000, 0).is_ok());
    }
    let denied = rate.admit(&limit, 500_000, 0).unwrap_err();
    let Retry::After(wait) = denied.retry else { panic!("{denied:?}") };
    assert_eq!((denied.measure, wait), (Measure::Requests, MINUTE_US + MINUTE_US / STEPS - 500_000));
    assert!(rate.admit(&limit, 500_000 + wait - 1, 0).is_err());
    for _ in 0..3 {
        assert!(rate.admit(&limit, 500_000 + wait, 0).is_ok());
    }
    assert!(rate.admit(&limit, 500_000 + wait, 0).is_err());
}

#[test]
fn tokens_are_estimated_before_and_corrected_after() {
    let limit = limit(None, Some(100), None);
    let mut rate = Rate::new(&limit);
    let ticket = rate.admit(&limit, 0, 80).unwrap();
    assert!(rate.admit(&limit, 1, 21).is_err());
    rate.settle(2, ticket, 10);
    let ticket = rate.admit(&limit, 3, 90).unwrap();
    rate.settle(4, ticket, 150);
    assert_eq!(
        rate.room(&limit, 5, Measure::Tokens).map(|room| room.left),
        Some(0),
        "more than was estimated counts"
    );
    assert_eq!(rate.room(&limit, 2 * MINUTE_US, Measure::Tokens).map(|room| room.left), Some(100));
}

#[test]
fn what_is_larger_than_the_limit_is_never_admitted() {
    let limit = limit(Some(10), Some(100), None);
    let mut rate = Rate::new(&limit);
    let denied = rate.admit(&limit, 0, 101).unwrap_err();
    assert_eq!(denied, Denied { measure: Measure::Tokens, retry: Retry::Never });
    assert_eq!(
        rate.room(&limit, 0, Measure::Requests).map(|room| room.left),
        Some(10),
        "a refusal counts nothing"
    );
    assert!(rate.admit(&limit, 0, 100).is_ok());
}

#[test]
fn so_many_at_a_time_and_not_one_more() {
    let limit = limit(None, None, Some(2));
    let mut rate = Rate::new(&limit);
    let first = rate.admit(&limit, 0, 0).unwrap();
    let second = rate.admit(&limit, 0, 0).unwrap();
    let denied = rate.admit(&limit, 0, 0).unwrap_err();
    assert_eq!(denied, Denied { measure: Measure::Concurrent, retry: Retry::WhenOneEnds });
    rate.settle(1, first, 0);
    let third = rate.admit(&limit, 1, 0).unwrap();
    for ticket in [second, third] {
        rate.settle(2, ticket, 0);
    }
    assert!(rate.is_idle(2));
}

#[test]
fn what_is_cancelled_was_never_asked_for() {
    let limit = limit(Some(1), Some(10), Some(1));
    let mut rate = Rate::new(&limit);
    let ticket = rate.admit(&limit, 0, 10).unwrap();
    rate.cancel(1, ticket);
    assert!(rate.is_idle(1));
    assert!(rate.admit(&limit, 1, 10).is_ok());
}

#[test]
fn another_limit_keeps_what_is_measured_as_before() {
    let before = limit(Some(5), None, None);
    let mut rate = Rate::new(&before);
    let _open = rate.admit(&before, 0, 7).unwrap();
    let after = limit(Some(1), Some(10), Some(9));
    rate.adapt(&after);
    assert_eq!(rate.room(&after, 0, Measure::Requests).map(|room| room.left), Some(0));
    assert_eq!(rate.room(&after, 0, Measure::Tokens).map(|room| room.left), Some(10));
    rate.adapt(&RateLimit { length_us: 1_000_000, ..after });
    assert_eq!(rate.room(&after, 0, Measure::Requests).map(|room| room.left), Some(1));
    assert_eq!(rate.open(), 1);
}

proptest! {
    /// In every stretch of the window's length at most the limit is admitted, and a wait that was named is long enough.
    #[test]
    fn no_window_ever_holds_more_than_the_limit(
        most in 1_u64..20,
        length in 60_i64..5_000,
        pauses in proptest::collection::vec(0_i64..400, 1..150),
    ) {
        let limit = RateLimit { requests: Some(most), tokens: None, concurrent: None, length_us: length };
        let mut rate = Rate::new(&limit);
        let mut admitted: Vec<i64> = Vec::new();
        let mut now = 0;
        for pause in pauses {
            now += pause;
            match rate.admit(&limit, now, 0) {
                Ok(ticket) => {
                    admitted.push(now);
                    rate.settle(now, ticket, 0);
                }
                Err(denied) => {
                    let Retry::After(wait) = denied.retry else { panic!("{denied:?}") };
                    prop_assert!(wait > 0);
                    prop_assert!(rate.clone().admit(&limit, now + wait, 0).is_ok());
                    prop_assert!(rate.clone().admit(&limit, now + wait - 1, 0).is_err());
                }
            }
        }
        for (index, first) in admitted.iter().enumerate() {
            let inside = admitted[index..].iter().filter(|at| **at < first + length).count() as u64;
            prop_assert!(inside <= most, "{inside} within {length} from {first}");
        }
    }

    /// Tokens pass their limit by what estimates missed, and by nothing else.
    #[test]
    fn tokens_are_bounded_by_the_limit_and_what_estimates_missed(
        exchanges in proptest::collection::vec((0_u64..60, 0_u64..120), 1..80),
    ) {
        let limit = limit(None, Some(100), None);
        let mut rate = Rate::new(&limit);
        let (mut used, mut missed) = (0, 0);
        for (now, (estimate, actual)) in (0_i64..).zip(exchanges) {
            if let Ok(ticket) = rate.admit(&limit, now, estimate) {
                rate.settle(now, ticket, actual);
                used += actual;
                missed += actual.saturating_sub(estimate);
            }
        }
        prop_assert!(used <= 100 + missed);
    }
}
