//! The load of the processors, as the server is told it.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::time::Instant;

use sysinfo::System;

/// Samples whose mean is the load: 2.5 s at two samples per second, as the peer.
const SAMPLES: usize = 5;

/// Measures the load of the processors: of the container's share, where one is set, else of the machine. 0 to 1.
pub(crate) struct CpuLoad {
    source: Source,
    samples: VecDeque<f64>,
}

enum Source {
    Container(Container),
    Machine(Box<System>),
}

/// A control group with a limit of processor time.
struct Container {
    stat: PathBuf,
    /// Processors, as a number that need not be whole.
    processors: f64,
    last: (Instant, u64),
}

impl CpuLoad {
    pub(crate) fn new() -> Self {
        let source = match Container::find() {
            Some(container) => Source::Container(container),
            None => {
                let mut system = System::new();
                system.refresh_cpu_usage();
                Source::Machine(Box::new(system))
            }
        };
        Self {
            source,
            samples: VecDeque::with_capacity(SAMPLES),
        }
    }

    /// Takes one sample: the load since the one before.
    pub(crate) fn sample(&mut self) {
        let sample = match &mut self.source {
            Source::Container(container) => container.sample(),
            Source::Machine(system) => {
                system.refresh_cpu_usage();
                Some(f64::from(system.global_cpu_usage()) / 100.0)
            }
        };
        if let Some(sample) = sample {
            if self.samples.len() == SAMPLES {
                self.samples.pop_front();
            }
            self.samples.push_back(sample.clamp(0.0, 1.0));
        }
    }

    /// The mean of the last samples.
    pub(crate) fn mean(&self) -> f64 {
        self.samples.iter().sum::<f64>() / self.samples.len().max(1) as f64
    }
}

impl Container {
    /// The nearest control group (version 2) with a limit.
    fn find() -> Option<Self> {
        let groups = std::fs::read_to_string("/proc/self/cgroup").ok()?;
        let path = groups.lines().find_map(|line| line.strip_prefix("0::"))?;
        let root = PathBuf::from("/sys/fs/cgroup");
        let directory = root.join(path.trim_start_matches('/'));
        directory
            .ancestors()
            .take_while(|directory| directory.starts_with(&root))
            .find_map(|directory| {
                let limit = std::fs::read_to_string(directory.join("cpu.max")).ok()?;
                let processors = parse_limit(&limit)?;
                let stat = directory.join("cpu.stat");
                let used = parse_usage(&std::fs::read_to_string(&stat).ok()?)?;
                Some(Self {
                    stat,
                    processors,
                    last: (Instant::now(), used),
                })
            })
    }

    fn sample(&mut self) -> Option<f64> {
        let used = parse_usage(&std::fs::read_to_string(&self.stat).ok()?)?;
        let now = Instant::now();
        let (then, before) = std::mem::replace(&mut self.last, (now, used));
        let elapsed = (now - then).as_micros() as f64 * self.processors;
        (elapsed > 0.0).then(|| used.saturating_sub(before) as f64 / elapsed)
    }
}

/// Processors of a `cpu.max`: quota and period in microseconds; `max` is no limit.
fn parse_limit(text: &str) -> Option<f64> {
    let (quota, period) = text.trim().split_once(' ')?;
    let (quota, period): (f64, f64) = (quota.parse().ok()?, period.parse().ok()?);
    (quota > 0.0 && period > 0.0).then(|| quota / period)
}

/// Microseconds of processor time that a `cpu.stat` tells.
fn parse_usage(text: &str) -> Option<u64> {
    text.lines()
        .find_map(|line| line.strip_prefix("usage_usec "))?
        .trim()
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_and_usage_are_read_as_the_kernel_writes_them() {
        assert_eq!(parse_limit("150000 100000\n"), Some(1.5));
        assert_eq!(parse_limit("max 100000\n"), None);
        assert_eq!(parse_limit(""), None);
        assert_eq!(
            parse_usage("usage_usec 123456\nuser_usec 1\nsystem_usec 2\n"),
            Some(123_456)
        );
        assert_eq!(parse_usage("user_usec 1\n"), None);
    }

    #[test]
    fn busy_processors_are_a_higher_load_than_idle_ones() {
        let mut load = CpuLoad::new();
        assert_eq!(load.mean(), 0.0);
        let end = Instant::now() + std::time::Duration::from_millis(600);
        let threads: Vec<_> = (0..std::thread::available_parallelism().map_or(1, usize::from))
            .map(|_| {
                std::thread::spawn(move || {
                    while Instant::now() < end {
                        std::hint::spin_loop();
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().expect("it spins and ends");
        }
        load.sample();
        // All processors were busy all the time; half leaves room for what else the machine does.
        assert!(load.mean() > 0.5, "{}", load.mean());
        for _ in 0..SAMPLES {
            load.sample();
        }
        assert!((0.0..=1.0).contains(&load.mean()));
    }
}
