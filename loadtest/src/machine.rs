//! What the kernel knows: CPU time and memory of process trees, cores, limits.

use anyhow::{Context, Result};
use nix::sched::{CpuSet, sched_setaffinity};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::Pid;
use std::fs;

/// Deepest process tree that is added up, in generations.
const MAX_GENERATIONS: usize = 8;

/// Ties the calling thread, and what it starts from now on, to one core.
///
/// # Errors
/// There is no such core.
pub fn pin(core: usize) -> Result<()> {
    let mut cores = CpuSet::new();
    cores.set(core)?;
    sched_setaffinity(Pid::from_raw(0), &cores).with_context(|| format!("cannot use core {core}"))
}

/// Allows as many open files as the system lets this process have; how many that is.
///
/// # Errors
/// The limit cannot be read or set.
pub fn raise_file_limit() -> Result<u64> {
    let (_soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    Ok(hard)
}

/// A process and its descendants.
fn tree(pid: u32) -> Vec<u32> {
    let mut found = vec![pid];
    let mut from = 0;
    for _generation in 0..MAX_GENERATIONS {
        let parents = found.get(from..).unwrap_or_default().to_vec();
        from = found.len();
        for parent in parents {
            for task in tasks(parent) {
                let children = fs::read_to_string(format!("{task}/children")).unwrap_or_default();
                found.extend(children.split_whitespace().filter_map(|text| text.parse::<u32>().ok()));
            }
        }
        if from == found.len() {
            break;
        }
    }
    found
}

/// The folders of a process's threads.
fn tasks(pid: u32) -> Vec<String> {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    entries.flatten().filter_map(|entry| entry.path().to_str().map(str::to_owned)).collect()
}

/// CPU time of a process tree's living threads, in nanoseconds, from the scheduler's own counters.
pub fn cpu_ns(pid: u32) -> u64 {
    tree(pid).into_iter().flat_map(tasks).filter_map(|task| first_number(&format!("{task}/schedstat"))).sum()
}

/// CPU time of the calling thread, in nanoseconds.
pub fn own_cpu_ns() -> u64 {
    first_number("/proc/thread-self/schedstat").unwrap_or(0)
}

/// Time a core has worked for anybody, in nanoseconds, in steps of the kernel's clock tick (10 ms).
pub fn core_busy_ns(core: usize) -> u64 {
    /// Length of a tick as `/proc/stat` counts, in nanoseconds.
    const TICK_NS: u64 = 10_000_000;
    let text = fs::read_to_string("/proc/stat").unwrap_or_default();
    let name = format!("cpu{core}");
    let Some(line) = text.lines().find(|line| line.split_whitespace().next() == Some(&name)) else {
        return 0;
    };
    // user nice system idle iowait irq softirq steal guest guest_nice: all but idle and iowait; guest is in user.
    let ticks = line.split_whitespace().skip(1).take(8).enumerate();
    let busy = ticks.filter(|(index, _)| !matches!(index, 3 | 4));
    busy.filter_map(|(_, ticks)| ticks.parse::<u64>().ok()).sum::<u64>() * TICK_NS
}

fn first_number(path: &str) -> Option<u64> {
    fs::read_to_string(path).ok()?.split_whitespace().next()?.parse().ok()
}

/// Resident memory of a process tree, in kibibytes; `None` if there is no such process.
pub fn rss_kib(pid: u32) -> Option<u64> {
    let sizes: Vec<u64> = tree(pid).into_iter().filter_map(|pid| status_kib(pid, "VmRSS:")).collect();
    (!sizes.is_empty()).then(|| sizes.iter().sum())
}

fn status_kib(pid: u32, field: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with(field))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_time_and_memory() {
        let pid = std::process::id();
        assert!(rss_kib(pid).unwrap() > 100);
        let before = cpu_ns(pid);
        let mut value = 1u64;
        while cpu_ns(pid) == before {
            value = std::hint::black_box(value.wrapping_mul(31));
        }
        assert!(rss_kib(u32::MAX).is_none());
    }

    #[test]
    fn a_core_has_worked_since_the_machine_started() {
        assert!(core_busy_ns(0) > 0);
        assert_eq!(core_busy_ns(usize::MAX), 0, "there is no such core");
    }

    #[test]
    fn a_child_belongs_to_the_tree() {
        let mut child = std::process::Command::new("sleep").arg("30").spawn().unwrap();
        assert!(tree(std::process::id()).contains(&child.id()));
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
