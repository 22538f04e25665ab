//! What the kernel knows of this process.

use super::table::{
    Metric, PROCESS_CPU, PROCESS_FDS, PROCESS_FDS_MAX, PROCESS_RSS, PROCESS_START, PROCESS_THREADS,
    PROCESS_VIRTUAL,
};
use std::fs;

/// Ticks per second in `/proc`: `USER_HZ`, part of the kernel's interface and 100 on every machine we build for.
const TICKS_PER_SECOND: f64 = 100.0;

/// The figures of this process, as far as the system tells them (Linux: all; elsewhere none).
pub(super) fn figures() -> Vec<(&'static Metric, f64)> {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let mut figures = of_status(&read("/proc/self/status"));
    figures.extend(of_stat(&read("/proc/self/stat"), &read("/proc/stat")));
    if let Some(limit) = of_limits(&read("/proc/self/limits")) {
        figures.push((&PROCESS_FDS_MAX, limit));
    }
    if let Ok(open) = fs::read_dir("/proc/self/fd") {
        // One of them is the folder that is being read.
        figures.push((&PROCESS_FDS, number(open.count().saturating_sub(1))));
    }
    figures
}

/// Memory and threads from `/proc/self/status`.
fn of_status(text: &str) -> Vec<(&'static Metric, f64)> {
    let field = |name: &str| -> Option<f64> {
        let rest = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        rest.split_ascii_whitespace().next()?.parse().ok()
    };
    let kilobytes = |name| field(name).map(|kilobytes| kilobytes * 1024.0);
    let all = [
        (&PROCESS_RSS, kilobytes("VmRSS")),
        (&PROCESS_VIRTUAL, kilobytes("VmSize")),
        (&PROCESS_THREADS, field("Threads")),
    ];
    all.into_iter().filter_map(|(metric, figure)| Some((metric, figure?))).collect()
}

/// CPU time and start from `/proc/self/stat` (proc_pid_stat(5): fields 14, 15 and 22) and the `btime` of `/proc/stat`.
fn of_stat(own: &str, system: &str) -> Vec<(&'static Metric, f64)> {
    // The program's name stands in brackets and may hold anything; the third field follows the last one.
    let Some((_, rest)) = own.rsplit_once(')') else { return Vec::new() };
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    let ticks = |field: usize| -> Option<f64> { fields.get(field - 3)?.parse().ok() };
    let boot = system.lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse::<f64>().ok());
    let cpu = ticks(14).zip(ticks(15)).map(|(user, kernel)| (user + kernel) / TICKS_PER_SECOND);
    let start = ticks(22).zip(boot).map(|(ticks, boot)| boot + ticks / TICKS_PER_SECOND);
    let all = [(&PROCESS_CPU, cpu), (&PROCESS_START, start)];
    all.into_iter().filter_map(|(metric, figure)| Some((metric, figure?))).collect()
}

/// The soft limit of open files from `/proc/self/limits`.
fn of_limits(text: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

#[expect(clippy::cast_precision_loss, reason = "a count of file descriptors is far below 2^53")]
fn number(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(figures: &[(&Metric, f64)], metric: &Metric) -> Option<f64> {
        figures.iter().find(|(known, _)| known.name == metric.name).map(|(_, value)| *value)
    }

    #[test]
    fn status_is_in_kilobytes() {
        let figures = of_status("Name:\tnarrows\nVmSize:\t  2048 kB\nVmRSS:\t     12 kB\nThreads:\t7\n");
        assert_eq!(value(&figures, &PROCESS_VIRTUAL), Some(2_097_152.0));
        assert_eq!(value(&figures, &PROCESS_RSS), Some(12_288.0));
        assert_eq!(value(&figures, &PROCESS_THREADS), Some(7.0));
        assert!(of_status("").is_empty());
    }

    #[test]
    fn a_name_with_brackets_and_blanks_moves_no_field() {
        let own = "77 (a) b (c)) S 1 2 3 4 5 6 7 8 9 10 250 50 0 0 20 0 3 0 4200 1 2";
        let figures = of_stat(own, "cpu 1 2 3\nbtime 1700000000\n");
        assert_eq!(value(&figures, &PROCESS_CPU), Some(3.0));
        assert_eq!(value(&figures, &PROCESS_START), Some(1_700_000_042.0));
        assert!(of_stat("", "").is_empty() && of_stat("1 (x) S", "btime 1").is_empty());
    }

    #[test]
    fn no_limit_is_no_figure() {
        let line = |limit: &str| format!("Max open files            {limit}     4096      files\n");
        assert_eq!(of_limits(&line("1024")), Some(1024.0));
        assert_eq!(of_limits(&line("unlimited")), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_is_known_whole() {
        let figures = figures();
        for metric in [&PROCESS_CPU, &PROCESS_RSS, &PROCESS_FDS, &PROCESS_START, &PROCESS_THREADS] {
            assert!(value(&figures, metric).is_some(), "{}", metric.name);
        }
        assert!(value(&figures, &PROCESS_RSS).unwrap() > 0.0);
    }
}
