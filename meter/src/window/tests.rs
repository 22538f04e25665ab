use super::*;
use proptest::prelude::*;

fn at(text: &str) -> i64 {
    DateTime::parse_from_rfc3339(text).unwrap().timestamp_micros()
}

fn span(period: Period, zone: &str, when: &str) -> (String, String) {
    let span = Calendar::new(period, zone).unwrap().span(at(when));
    let text = |us| format!("{:?}+00:00", DateTime::from_timestamp_micros(us).unwrap().naive_utc());
    (text(span.start_us), text(span.end_us))
}

#[test]
fn windows_begin_where_people_expect_them_to() {
    let zurich = |period| span(period, "Europe/Zurich", "2026-11-26T03:00:00Z");
    assert_eq!(
        zurich(Period::Hour),
        ("2026-11-26T03:00:00+00:00".into(), "2026-11-26T04:00:00+00:00".into())
    );
    assert_eq!(zurich(Period::Day), ("2026-11-25T23:00:00+00:00".into(), "2026-11-26T23:00:00+00:00".into()));
    // A Thursday: the week began on Monday the 23rd.
    assert_eq!(
        zurich(Period::Week),
        ("2026-11-22T23:00:00+00:00".into(), "2026-11-29T23:00:00+00:00".into())
    );
    assert_eq!(
        zurich(Period::Month),
        ("2026-10-31T23:00:00+00:00".into(), "2026-11-30T23:00:00+00:00".into())
    );
    let december = span(Period::Month, "UTC", "2026-12-31T23:59:59Z");
    assert_eq!(december, ("2026-12-01T00:00:00+00:00".into(), "2027-01-01T00:00:00+00:00".into()));
}

#[test]
fn a_day_may_have_23_or_25_hours_and_may_begin_late() {
    let hours = |zone, when| {
        let span = Calendar::new(Period::Day, zone).unwrap().span(at(when));
        (span.end_us - span.start_us) / HOUR_US
    };
    assert_eq!(hours("Europe/Zurich", "2026-03-29T12:00:00Z"), 23);
    assert_eq!(hours("Europe/Zurich", "2026-10-25T12:00:00Z"), 25);
    // Clocks in Cairo go forward at midnight, so 24 April 2026 begins at one.
    assert_eq!(span(Period::Day, "Africa/Cairo", "2026-04-24T12:00:00Z").0, "2026-04-23T22:00:00+00:00");
    // There was no 30 December 2011 in Samoa.
    assert_eq!(span(Period::Day, "Pacific/Apia", "2011-12-30T09:59:59Z").1, "2011-12-30T10:00:00+00:00");
}

#[test]
fn an_unknown_zone_is_named() {
    let error = Calendar::new(Period::Day, "Europe/Zuerich").unwrap_err();
    assert_eq!(error.to_string(), "\"Europe/Zuerich\" is no time zone of the IANA database");
}

#[test]
fn there_is_a_slot_for_every_step() {
    assert_eq!(i64::try_from(SLOTS_LENGTH), Ok(SLOTS));
}

#[test]
fn a_sum_is_kept_for_its_length_and_at_most_a_step_longer() {
    let mut window = Sliding::new(60 * SECOND_US);
    let start = 1_000 * 60 * SECOND_US;
    window.add(start + 999_999, 5);
    assert_eq!(window.sum(start + 60 * SECOND_US + 999_999), 5, "sixty seconds later it still counts");
    assert_eq!(window.falls_to(start + SECOND_US, 4), start + 61 * SECOND_US);
    assert_eq!(window.sum(start + 61 * SECOND_US - 1), 5);
    assert_eq!(window.sum(start + 61 * SECOND_US), 0);
}

#[test]
fn what_is_taken_back_is_taken_from_its_own_step() {
    let mut window = Sliding::new(60 * SECOND_US);
    window.add(0, 5);
    window.add(30 * SECOND_US, 7);
    window.take_back(40 * SECOND_US, 0, 3);
    assert_eq!(window.sum(40 * SECOND_US), 9);
    assert_eq!(window.sum(61 * SECOND_US), 7);
    window.take_back(61 * SECOND_US, 0, 7);
    assert_eq!(window.sum(61 * SECOND_US), 7, "what is forgotten cannot be taken back");
    window.take_back(62 * SECOND_US, 30 * SECOND_US, u64::MAX);
    assert_eq!(window.sum(62 * SECOND_US), 0);
}

#[test]
fn clocks_that_go_back_forget_nothing() {
    let mut window = Sliding::new(60 * SECOND_US);
    window.add(100 * SECOND_US, 5);
    // By less than the window: as if it stood still.
    window.add(60 * SECOND_US, 1);
    window.add_at(60 * SECOND_US, 60 * SECOND_US, 1);
    assert_eq!(window.sum(40 * SECOND_US), 7);
    assert_eq!(window.sum(160 * SECOND_US), 7, "all of it was spent when the clock said a hundred");
    assert_eq!(window.sum(161 * SECOND_US), 0);
    // By more: everything keeps its age.
    window.add(1_000 * SECOND_US, 5);
    window.add(1_020 * SECOND_US, 3);
    window.add_at(10 * SECOND_US, 10 * SECOND_US, 1);
    assert_eq!(window.sum(50 * SECOND_US), 9, "forty seconds later the oldest is sixty seconds old");
    assert_eq!(window.sum(51 * SECOND_US), 4);
    assert_eq!(window.sum(70 * SECOND_US), 4);
    assert_eq!(window.sum(71 * SECOND_US), 0);
}

#[test]
fn sums_stop_at_the_largest_number() {
    let mut window = Sliding::new(SECOND_US);
    window.add(0, u64::MAX);
    window.add(500_000, 9);
    assert_eq!(window.sum(500_000), u64::MAX);
    assert_eq!(window.sum(1_020_000), 0, "what did not fit was not added, so nothing of it is left over");
}

fn zone() -> impl Strategy<Value = &'static str> {
    let zones = [
        "UTC",
        "Europe/Zurich",
        "Africa/Cairo",
        "Pacific/Apia",
        "Australia/Lord_Howe",
        "Asia/Kolkata",
        "America/Havana",
    ];
    proptest::sample::select(zones.to_vec())
}

proptest! {
    /// Windows follow each other without gap or overlap, wherever and whenever.
    #[test]
    fn windows_part_time(
        zone in zone(),
        period in proptest::sample::select(Period::ALL.to_vec()),
        seconds in 0_i64..4_102_444_800,
        inside in 0_i64..1_000,
    ) {
        let calendar = Calendar::new(period, zone).unwrap();
        let span = calendar.span(seconds * SECOND_US);
        prop_assert!(span.contains(seconds * SECOND_US));
        let length = (span.end_us - span.start_us) / SECOND_US;
        let other = span.start_us + length * inside / 1_000 * SECOND_US;
        prop_assert_eq!(calendar.span(other), span);
        prop_assert_eq!(calendar.span(span.end_us - 1), span);
        prop_assert_eq!(calendar.span(span.end_us).start_us, span.end_us);
    }

    /// Any moment has a window.
    #[test]
    fn windows_are_total(zone in zone(), period in proptest::sample::select(Period::ALL.to_vec()), at in any::<i64>()) {
        let span = Calendar::new(period, zone).unwrap().span(at);
        prop_assert!(span.start_us <= at && at <= span.end_us);
    }

    /// Whatever the clock does, what is spent now counts for the whole window.
    #[test]
    fn what_is_added_counts_until_its_time_whatever_the_clock_did_before(
        clock in proptest::collection::vec(0_i64..100_000, 1..20),
        at in 0_i64..100_000,
        waits in proptest::collection::vec(0_i64..100, 0..10),
    ) {
        let length = 6_000;
        let mut window = Sliding::new(length);
        for now in clock {
            window.add_at(now, now, 0);
        }
        window.add_at(at, at, 7);
        let (mut now, mut waited) = (at, 0);
        for wait in waits {
            (now, waited) = (now + wait, waited + wait);
            prop_assert_eq!(window.sum(now), 7);
        }
        prop_assert_eq!(window.sum(at + length.max(waited)), 7, "to the end");
        prop_assert_eq!(window.sum(at + 3 * (length + length / STEPS)), 0);
    }

    /// Compared with a log of everything: never less than the true sum, and never more than the true sum of a window that
    /// is one step longer.
    #[test]
    fn a_sliding_sum_is_the_true_one_within_a_step(
        length in 60_i64..10_000,
        events in proptest::collection::vec((0_i64..500, 0_u64..1_000), 1..60),
    ) {
        let mut window = Sliding::new(length);
        let step = (length + STEPS - 1) / STEPS;
        let mut log: Vec<(i64, u64)> = Vec::new();
        let mut now = 0;
        for (pause, amount) in events {
            now += pause;
            window.add(now, amount);
            log.push((now, amount));
            let within = |length: i64| {
                log.iter().filter(|(at, _)| *at > now - length).map(|(_, amount)| amount).sum::<u64>()
            };
            let sum = window.sum(now);
            prop_assert!(sum >= within(length));
            prop_assert!(sum <= within(step * SLOTS));
            let free = window.falls_to(now, sum / 2);
            let mut later = window.clone();
            prop_assert!(later.sum(free) <= sum / 2);
            if free > now {
                prop_assert!(window.clone().sum(free - 1) > sum / 2, "not a moment later than needed");
            }
            prop_assert_eq!(window.empties(now), window.falls_to(now, 0));
        }
    }
}
