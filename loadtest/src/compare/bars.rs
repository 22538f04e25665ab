//! The bars a gateway has to stay under, and the ratios they are about.

use super::interval::Interval;
use super::point::Point;
use serde::Serialize;

/// What a bar compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Figure {
    /// CPU time per request, as a ratio.
    Cpu,
    /// CPU time per request beyond that of the same work without TLS, as a ratio.
    TlsCpu,
    /// Median latency, as a difference in microseconds.
    AddedP50,
    /// 99th percentile of a chunk's transit, as a difference in microseconds.
    AddedTransitP99,
    /// 99th percentile of latency beyond that of requests which did not fail at their first target, in microseconds. The
    /// failed attempt itself is in it.
    FailoverP99,
}

/// One bar.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bar {
    /// The work.
    pub work: &'static str,
    /// The gateway, or the gateway with detectors, limits or both.
    pub proxy: &'static str,
    /// Whom the gateway is compared with.
    pub peer: &'static str,
    /// What is compared.
    pub figure: Figure,
    /// The most it may be.
    pub most: f64,
}

const fn bar(work: &'static str, peer: &'static str, figure: Figure, most: f64) -> Bar {
    Bar { work, proxy: "narrows", peer, figure, most }
}

/// A bar of the gateway with all detectors that are on by default.
const fn guarded(work: &'static str, peer: &'static str, most: f64) -> Bar {
    Bar { work, proxy: "guarded", peer, figure: Figure::Cpu, most }
}

/// A bar of a small chat with more than the gateway alone, against nginx.
const fn small(proxy: &'static str, most: f64) -> Bar {
    Bar { work: "small-chat", proxy, peer: "nginx", figure: Figure::Cpu, most }
}

/// Every bar of `docs/performance.md`.
pub(super) const BARS: &[Bar] = &[
    bar("small-chat", "bare", Figure::Cpu, 1.0),
    bar("small-chat", "nginx", Figure::Cpu, 2.0),
    bar("agent-body", "nginx", Figure::Cpu, 1.8),
    bar("agent-stream", "nginx", Figure::Cpu, 1.5),
    bar("stream-100", "nginx", Figure::Cpu, 1.05),
    bar("stream-burst", "bare", Figure::Cpu, 0.3),
    bar("paced-streams", "nginx", Figure::Cpu, 1.15),
    bar("paced-streams", "nginx", Figure::AddedTransitP99, 150.0),
    bar("small-200/s", "nginx", Figure::AddedP50, 25.0),
    bar("failover", "narrows", Figure::FailoverP99, 1_000.0),
    bar("small-tls", "nginx", Figure::TlsCpu, 1.25),
    bar("agent-tls", "nginx", Figure::TlsCpu, 1.25),
    bar("stream-tls", "nginx", Figure::TlsCpu, 1.25),
    guarded("small-chat", "bare", 1.1),
    guarded("small-chat", "nginx", 2.2),
    guarded("agent-body", "nginx", 2.2),
    small("limited", 2.1),
    small("full", 2.4),
];

/// Works with TLS on both sides, and the same works without.
const PLAIN: &[(&str, &str)] =
    &[("small-tls", "small-chat"), ("agent-tls", "agent-body"), ("stream-tls", "stream-100")];

/// How a bar was met.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Verdict {
    /// The work.
    pub work: &'static str,
    /// What is compared, with whom.
    pub what: String,
    /// The most it may be.
    pub most: f64,
    /// What it is.
    pub found: Interval,
    /// Whether the interval's upper end is within the bar.
    pub met: bool,
}

impl Figure {
    fn of(self, ours: &Point, theirs: &Point) -> Option<f64> {
        let value = match self {
            Figure::Cpu | Figure::TlsCpu => ours.cpu_us / theirs.cpu_us,
            Figure::AddedP50 => ours.p50_us - theirs.p50_us,
            Figure::AddedTransitP99 => ours.transit_p99_us - theirs.transit_p99_us,
            Figure::FailoverP99 => ours.p99_us - ours.beside_p99_us,
        };
        value.is_finite().then_some(value)
    }
}

/// The figure of `proxy` against `peer` in every round that has both.
pub(super) fn per_round(points: &[Point], work: &str, proxy: &str, peer: &str, figure: Figure) -> Vec<f64> {
    let mine = points.iter().filter(|point| point.work == work && point.proxy == proxy);
    mine.filter_map(|ours| {
        let theirs = find(points, work, peer, ours.round)?;
        if figure != Figure::TlsCpu {
            return figure.of(ours, theirs);
        }
        let (_, plain) = PLAIN.iter().find(|(secured, _)| *secured == work)?;
        let beyond = |point: &Point| {
            let without = find(points, plain, point.proxy, point.round)?;
            Some(Point { cpu_us: point.cpu_us - without.cpu_us, ..point.clone() })
        };
        figure.of(&beyond(ours)?, &beyond(theirs)?)
    })
    .collect()
}

fn find<'p>(points: &'p [Point], work: &str, proxy: &str, round: usize) -> Option<&'p Point> {
    points.iter().find(|point| point.work == work && point.proxy == proxy && point.round == round)
}

/// The verdict on every bar for which there are figures.
pub(super) fn judge(points: &[Point]) -> Vec<Verdict> {
    BARS.iter()
        .filter_map(|bar| {
            let found = Interval::of(&per_round(points, bar.work, bar.proxy, bar.peer, bar.figure))?;
            let what = match bar.figure {
                Figure::Cpu if bar.proxy == "guarded" => format!("CPU with detectors / {}", bar.peer),
                Figure::Cpu if bar.proxy == "limited" => format!("CPU with limits / {}", bar.peer),
                Figure::Cpu if bar.proxy == "full" => format!("CPU with both / {}", bar.peer),
                Figure::Cpu => format!("CPU / {}", bar.peer),
                Figure::TlsCpu => format!("CPU of TLS / {}", bar.peer),
                Figure::AddedP50 => format!("p50 − {} (µs)", bar.peer),
                Figure::AddedTransitP99 => format!("transit p99 − {} (µs)", bar.peer),
                Figure::FailoverP99 => "p99 − without a failed attempt (µs)".to_owned(),
            };
            Some(Verdict { work: bar.work, what, most: bar.most, found, met: found.high <= bar.most })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::SCENARIOS;

    pub(crate) fn point(work: &str, proxy: &'static str, round: usize, cpu_us: f64) -> Point {
        Point {
            work: work.to_owned(),
            proxy,
            round,
            requests: 1.0,
            errors: 0,
            seconds: 1.0,
            rate: 1.0,
            cpu_us,
            busy: 1.0,
            others: 0.0,
            rate_per_core: 1e6 / cpu_us,
            load_cpu_us: 1.0,
            p50_us: 1.0,
            p99_us: 1.0,
            beside_p99_us: 0.0,
            first_byte_p50_us: 1.0,
            first_byte_p99_us: 1.0,
            transit_p50_us: 0.0,
            transit_p99_us: 0.0,
            rss_mib: 1.0,
            failures: Vec::new(),
        }
    }

    #[test]
    fn the_upper_end_of_the_interval_counts() {
        let mut points = Vec::new();
        for (round, cpu) in [(1, 19.0), (2, 19.5), (3, 19.0), (4, 21.0), (5, 21.0)] {
            points.push(point("small-chat", "narrows", round, cpu));
            points.push(point("small-chat", "nginx", round, 10.0));
        }
        let verdict = &judge(&points)[0];
        assert!(verdict.found.median <= 2.0 && verdict.found.high > 2.0 && !verdict.met, "{verdict:?}");
        points.retain(|point| point.cpu_us < 21.0);
        assert!(judge(&points)[0].met);
    }

    #[test]
    fn what_tls_costs_is_what_it_adds() {
        let points = [
            point("small-chat", "narrows", 1, 20.0),
            point("small-tls", "narrows", 1, 32.0),
            point("small-chat", "nginx", 1, 13.0),
            point("small-tls", "nginx", 1, 23.0),
            point("small-tls", "narrows", 2, 99.0),
        ];
        let verdicts = judge(&points);
        let tls = verdicts.iter().find(|verdict| verdict.work == "small-tls").unwrap();
        assert!((tls.found.median - 1.2).abs() < 1e-9 && tls.met, "{tls:?}");
    }

    #[test]
    fn rounds_without_both_do_not_count() {
        let points = [point("agent-body", "narrows", 1, 2.0), point("agent-body", "nginx", 2, 1.0)];
        assert!(per_round(&points, "agent-body", "narrows", "nginx", Figure::Cpu).is_empty());
        assert!(judge(&points).is_empty());
    }

    #[test]
    fn every_bar_is_about_a_work_that_is_measured() {
        assert!(BARS.iter().all(|bar| bar.work == "small-200/s" || SCENARIOS.contains(&bar.work)));
    }
}
