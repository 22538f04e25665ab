use super::*;
use proptest::prelude::*;

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap()
}

/// The longest it can be before somebody is admitted again.
fn longest() -> u64 {
    ms(OPEN_MAX.mul_f64(1.25).max(ASIDE_MAX).max(PROBE_TIME)) + 1
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        Just(Event::Success),
        Just(Event::Failure),
        Just(Event::Refused),
        (0_u64..2_000_000).prop_map(|time| Event::Aside(Duration::from_millis(time))),
        Just(Event::Abandoned),
    ]
}

fn fails(mut breaker: Breaker, times: u8, now_ms: u64) -> Breaker {
    for _ in 0..times {
        breaker = breaker.after(Pass::Usual, Event::Failure, now_ms, 0);
    }
    breaker
}

#[test]
fn failures_in_a_row_open_it_and_one_fewer_does_not() {
    assert_eq!(fails(Breaker::default(), STREAK - 1, 10).phase(10), Phase::Closed);
    let open = fails(Breaker::default(), STREAK, 10);
    assert_eq!(open.phase(10), Phase::Open);
    assert_eq!(open.admit(open.until_ms() - 1), None);
    assert_eq!(open.admit(open.until_ms()).map(|(_, pass)| pass), Some(Pass::Probe));
}

#[test]
fn a_share_of_failures_opens_it_even_when_they_are_never_in_a_row() {
    let mut breaker = Breaker::default();
    for round in 1..u64::from(SHARE_OF_LEAST) {
        let event = if round % u64::from(SHARE) == 0 { Event::Failure } else { Event::Success };
        breaker = breaker.after(Pass::Usual, event, round, 0);
        assert_eq!(breaker.phase(round), Phase::Closed, "too few to tell: {breaker:?}");
    }
    breaker = breaker.after(Pass::Usual, Event::Failure, 100, 0);
    assert_eq!(breaker.phase(100), Phase::Open, "{breaker:?}");
}

#[test]
fn one_request_is_the_probe_and_decides() {
    let open = fails(Breaker::default(), STREAK, 10);
    let half = open.until_ms();
    let (probing, pass) = open.admit(half).unwrap();
    assert_eq!(pass, Pass::Probe);
    assert_eq!(probing.admit(half), None, "one at a time");
    let well = probing.after(pass, Event::Success, half + 5, 0);
    assert_eq!(well.admit(half + 5).map(|(_, pass)| pass), Some(Pass::Usual));
    let ill = probing.after(pass, Event::Failure, half + 5, 0);
    assert!(ill.until_ms() - (half + 5) > half - 10, "the second time is longer");
    let lost = probing.after(pass, Event::Abandoned, half + 5, 0);
    assert_eq!(lost.admit(half + 5).map(|(_, pass)| pass), Some(Pass::Probe), "another one may try");
    assert_eq!(probing.admit(half + ms(PROBE_TIME)).map(|(_, pass)| pass), Some(Pass::Probe));
}

#[test]
fn a_providers_word_sets_it_aside_for_that_long_within_a_limit() {
    let aside = Breaker::default().after(Pass::Usual, Event::Aside(Duration::from_secs(7)), 10, 0);
    assert_eq!((aside.phase(7_009), aside.phase(7_010)), (Phase::Open, Phase::HalfOpen));
    let at_limit = Breaker::default().after(Pass::Usual, Event::Aside(ASIDE_MAX), 10, 0);
    let past = Breaker::default().after(Pass::Usual, Event::Aside(ASIDE_MAX * 2), 10, 0);
    assert_eq!((at_limit.until_ms(), past.until_ms()), (10 + ms(ASIDE_MAX), 10 + ms(ASIDE_MAX)));
    let shorter = at_limit.after(Pass::Usual, Event::Aside(Duration::from_secs(1)), 20, 0);
    assert_eq!(shorter.until_ms(), at_limit.until_ms(), "a shorter word does not take back a longer one");
}

#[test]
fn a_refusal_opens_it_at_once() {
    assert_eq!(Breaker::default().after(Pass::Usual, Event::Refused, 10, 0).phase(11), Phase::Open);
}

proptest! {
    #[test]
    fn a_state_survives_its_word(until in 0..=UNTIL_MAX, streak in 0..=STREAK, openings in 0..=OPENINGS_MAX, seen: u8, failed: u8) {
        let breaker = Breaker { until_ms: until, streak, openings, seen, failed };
        prop_assert_eq!(Breaker::unpack(breaker.pack()), breaker);
    }

    /// Whatever happens: nobody is admitted while it is open, at most one at a time while it is half-open, figures
    /// stay in their bounds, and after the longest time somebody is admitted again.
    #[test]
    fn it_never_sticks_and_never_floods(
        steps in prop::collection::vec((0_u64..40_000, event(), any::<u32>(), any::<bool>()), 1..300)
    ) {
        let mut breaker = Breaker::default();
        let mut now = 1;
        for (pause, event, chance, forced) in steps {
            now += pause;
            let before = breaker.phase(now);
            let pass = match breaker.admit(now) {
                Some((next, pass)) => {
                    prop_assert_ne!(before, Phase::Open);
                    breaker = next;
                    if pass == Pass::Probe {
                        prop_assert_eq!(breaker.admit(now), None);
                    }
                    pass
                }
                None if forced => Pass::Forced,
                None => continue,
            };
            breaker = breaker.after(pass, event, now, chance);
            prop_assert!(breaker.seen < OUTCOMES_MAX && breaker.failed <= breaker.seen && breaker.streak <= STREAK);
            prop_assert!(breaker.until_ms() <= now + longest());
            prop_assert_eq!(Breaker::unpack(breaker.pack()), breaker);
        }
        prop_assert!(breaker.admit(now + longest()).is_some());
    }

    #[test]
    fn success_never_opens_it(times in 1_usize..500) {
        let mut breaker = Breaker::default();
        for _ in 0..times {
            breaker = breaker.after(Pass::Usual, Event::Success, 5, 7);
        }
        prop_assert_eq!(breaker.phase(5), Phase::Closed);
    }
}
