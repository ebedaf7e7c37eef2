//! [`report`]: the peak memory of the program during a query.

use std::error::Error;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Runs a query in the program and prints its last line, its time, and its peak resident set.
pub(crate) fn report(what: &str, options: &[&str], query: &str) -> Result<(), Box<dyn Error>> {
    let start = Instant::now();
    let mut ocelli = Command::new(env!("CARGO_BIN_EXE_ocelli"))
        .args(["--format", "csv", "-q", query])
        .args(options)
        .stdout(Stdio::piped())
        .spawn()?;
    let mut peak = 0;
    while ocelli.try_wait()?.is_none() {
        // The counter is cumulative: the last reading is the peak.
        peak = peak_rss(ocelli.id()).unwrap_or(peak);
        std::thread::sleep(Duration::from_millis(20));
    }
    let seconds = start.elapsed().as_secs_f64();
    let output = ocelli.wait_with_output()?;
    if !output.status.success() {
        return Err(format!("{what}: the query failed").into());
    }
    let row = String::from_utf8_lossy(&output.stdout).lines().last().unwrap_or_default().to_owned();
    println!("{what:<44} {row:>12}   {seconds:>7.2} s   peak RSS {:>5} MB", peak >> 20);
    Ok(())
}

/// Peak resident set in bytes, from `/proc`.
fn peak_rss(process: u32) -> Option<usize> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().trim_end_matches(" kB").trim().parse::<usize>().ok()? << 10)
}
