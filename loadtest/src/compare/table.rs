//! Tables of a comparison, for the terminal and for documents.

use super::bars::{Figure, Verdict, per_round};
use super::interval::{Interval, median};
use super::point::Point;
use std::fmt::Write as _;

/// Columns: heading and how to read one from a point.
type Column = (&'static str, fn(&Point) -> f64);

const COLUMNS: &[Column] = &[
    ("CPU µs", |point| point.cpu_us),
    ("req/s", |point| point.rate),
    ("core %", |point| 100.0 * point.busy),
    ("others %", |point| 100.0 * point.others),
    ("req/s/core", |point| point.rate_per_core),
    ("p50 µs", |point| point.p50_us),
    ("p99 µs", |point| point.p99_us),
    ("TTFB p50", |point| point.first_byte_p50_us),
    ("TTFB p99", |point| point.first_byte_p99_us),
    ("transit p50", |point| point.transit_p50_us),
    ("transit p99", |point| point.transit_p99_us),
    ("RSS MiB", |point| point.rss_mib),
    ("load µs", |point| point.load_cpu_us),
];

/// Names in order of first appearance.
fn names<'p>(points: &'p [Point], name: impl Fn(&'p Point) -> &'p str) -> Vec<&'p str> {
    let mut found: Vec<&str> = Vec::new();
    for point in points {
        if !found.contains(&name(point)) {
            found.push(name(point));
        }
    }
    found
}

/// A number with as many digits as it deserves.
fn number(value: f64) -> String {
    match value.abs() {
        0.0 => "–".to_owned(),
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

fn interval(found: Interval) -> String {
    format!("{} [{}, {}]", number(found.median), number(found.low), number(found.high))
}

/// Everything as Markdown tables: one for each work, then the bars.
pub(super) fn markdown(points: &[Point], verdicts: &[Verdict]) -> String {
    let mut text = String::new();
    for work in names(points, |point| point.work.as_str()) {
        let of_work: Vec<Point> = points.iter().filter(|point| point.work == work).cloned().collect();
        let headings: Vec<&str> = COLUMNS.iter().map(|column| column.0).collect();
        let _infallible = writeln!(
            text,
            "### {work}\n\n| proxy | {} | CPU / bare | CPU / nginx | errors |\n|---|{}",
            headings.join(" | "),
            "---|".repeat(COLUMNS.len() + 3)
        );
        for proxy in names(&of_work, |point| point.proxy) {
            let mine: Vec<&Point> = of_work.iter().filter(|point| point.proxy == proxy).collect();
            let cell = |read: fn(&Point) -> f64| {
                let values: Vec<f64> = mine.iter().map(|point| read(point)).collect();
                median(&values).map_or_else(String::new, number)
            };
            let cells: Vec<String> = COLUMNS.iter().map(|column| cell(column.1)).collect();
            let ratio = |peer| match peer == proxy {
                true => "1".to_owned(),
                false => Interval::of(&per_round(&of_work, work, proxy, peer, Figure::Cpu))
                    .filter(|found| found.median > 0.0)
                    .map_or_else(|| "–".to_owned(), interval),
            };
            let errors: u64 = mine.iter().map(|point| point.errors).sum();
            let _infallible = writeln!(
                text,
                "| {proxy} | {} | {} | {} | {errors} |",
                cells.join(" | "),
                ratio("bare"),
                ratio("nginx")
            );
        }
        text.push('\n');
    }
    if !verdicts.is_empty() {
        text.push_str(
            "### Bars\n\n| work | figure | at most | median [95 %] | met |\n|---|---|---|---|---|\n",
        );
        for verdict in verdicts {
            let met = if verdict.met { "yes" } else { "**no**" };
            let _infallible = writeln!(
                text,
                "| {} | {} | {} | {} | {met} |",
                verdict.work,
                verdict.what,
                verdict.most,
                interval(verdict.found)
            );
        }
    }
    text
}

/// The same, aligned for a terminal.
pub(super) fn plain(points: &[Point], verdicts: &[Verdict]) -> String {
    let markdown = markdown(points, verdicts);
    let rows: Vec<Vec<&str>> =
        markdown.lines().map(|line| line.trim_matches('|').split('|').map(str::trim).collect()).collect();
    let mut text = String::new();
    let mut from = 0;
    for block in rows.chunk_by(|left, right| (left.len() > 1) == (right.len() > 1)) {
        let columns = block.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            block.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for row in block
            .iter()
            .filter(|row| !row.iter().all(|cell| !cell.is_empty() && cell.trim_matches('-').is_empty()))
        {
            if row.len() == 1 {
                text.push_str(row.first().map_or("", |cell| cell.trim_start_matches("### ")));
            } else {
                for (cell, width) in row.iter().zip(&widths) {
                    let _infallible = write!(text, "{cell:>width$}  ");
                }
            }
            text.push('\n');
        }
        from += block.len();
    }
    debug_assert_eq!(from, rows.len());
    text
}
