//! The live lines at the bottom of a terminal: overall progress and one line a running task.

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use rustc_hash::FxHashMap;
use std::time::{Duration, Instant};

/// What is drawn below the log lines; knows nothing of events.
pub struct Footer {
    bars: MultiProgress,
    head: Option<ProgressBar>,
    tasks: FxHashMap<i32, TaskLine>,
    quiet: bool,
}

struct TaskLine {
    bar: ProgressBar,
    title: String,
    started: Instant,
    rate: Option<String>,
    percent: Option<f64>,
}

fn elapsed(d: Duration) -> String {
    let s = d.as_secs();
    match (s / 3600, s / 60 % 60, s % 60) {
        (0, 0, s) => format!("{s}s"),
        (0, m, s) => format!("{m}m{s}s"),
        (h, m, s) => format!("{h}h{m}m{s}s"),
    }
}

fn style(template: &str) -> ProgressStyle {
    // The templates are constants of this file; a broken one falls back to the default look.
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("##-")
}

impl Footer {
    pub fn new(quiet: bool) -> Footer {
        Footer {
            bars: MultiProgress::with_draw_target(ProgressDrawTarget::stdout_with_hz(10)),
            head: None,
            tasks: FxHashMap::default(),
            quiet,
        }
    }

    /// Prints a line above the footer.
    pub fn print(&self, line: &str) {
        if self.bars.println(line).is_err() {
            println!("{line}");
        }
    }

    /// Runs `f` while nothing is drawn, so that it may write to the terminal itself.
    pub fn suspend<R>(&self, f: impl FnOnce() -> R) -> R {
        self.bars.suspend(f)
    }

    pub fn start_bar(&mut self, message: &str, total: u64) -> ProgressBar {
        let bar = self.bars.add(ProgressBar::new(total.max(1)));
        bar.set_style(style("{msg}: {percent:>3}% |{wide_bar}| ETA:  {eta_precise}"));
        bar.set_message(message.to_string());
        bar
    }

    /// The line that counts tasks: `setscene` and `tasks` are "done of total" texts.
    pub fn counts(&mut self, setscene: (usize, usize), tasks: (usize, usize), waiting: bool) {
        let bars = &self.bars;
        let head = self.head.get_or_insert_with(|| {
            let bar = bars.insert(0, ProgressBar::new(1));
            bar.set_style(style("{msg} {percent:>3}% |{wide_bar}|"));
            bar
        });
        head.set_length(tasks.1.max(1) as u64);
        head.set_position(tasks.0.saturating_sub(1) as u64);
        let n = self.tasks.len();
        let text = if waiting {
            format!("Waiting for {n} running {} to finish", if n == 1 { "task" } else { "tasks" })
        } else if self.quiet {
            format!("Running tasks ({} of {}, {} of {})", setscene.0, setscene.1, tasks.0, tasks.1)
        } else if n == 0 {
            format!("Setscene tasks: {} of {}\nNo currently running tasks ({} of {})", setscene.0, setscene.1, tasks.0, tasks.1)
        } else {
            format!("Setscene tasks: {} of {}\nCurrently {n:>2} running tasks ({} of {})", setscene.0, setscene.1, tasks.0, tasks.1)
        };
        head.set_message(text);
    }

    pub fn task_started(&mut self, pid: i32, title: String) {
        if self.quiet {
            return;
        }
        let bar = self.bars.add(ProgressBar::new(100));
        bar.set_style(style("{msg}"));
        self.tasks.insert(pid, TaskLine { bar, title, started: Instant::now(), rate: None, percent: None });
        self.tick();
    }

    pub fn task_progress(&mut self, pid: i32, progress: f64, rate: Option<String>) {
        if let Some(task) = self.tasks.get_mut(&pid) {
            if task.percent.is_none() && progress >= 0.0 {
                task.bar.set_style(style("{msg} {percent:>3}% |{wide_bar}|"));
            }
            task.percent = Some(progress);
            task.rate = rate;
            if progress >= 0.0 {
                task.bar.set_position(progress as u64);
            }
        }
    }

    pub fn task_ended(&mut self, pid: i32) {
        if let Some(task) = self.tasks.remove(&pid) {
            task.bar.finish_and_clear();
            self.bars.remove(&task.bar);
        }
    }

    /// Refreshes the elapsed times.
    pub fn tick(&mut self) {
        let mut lines: Vec<_> = self.tasks.iter_mut().collect();
        lines.sort_by_key(|(_, t)| t.started);
        for (n, (pid, task)) in lines.into_iter().enumerate() {
            let rate = task.rate.as_deref().map(|r| format!(" {r}")).unwrap_or_default();
            task.bar.set_message(format!("{n}: {} - {} (pid {pid}){rate}", task.title, elapsed(task.started.elapsed())));
        }
    }

    /// Takes everything off the screen.
    pub fn clear(&mut self) {
        for (_, task) in self.tasks.drain() {
            task.bar.finish_and_clear();
        }
        if let Some(head) = self.head.take() {
            head.finish_and_clear();
        }
        let _ = self.bars.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elapsed_times_grow_units() {
        assert_eq!(elapsed(Duration::from_secs(5)), "5s");
        assert_eq!(elapsed(Duration::from_secs(65)), "1m5s");
        assert_eq!(elapsed(Duration::from_secs(3600)), "1h0m0s");
    }
}
