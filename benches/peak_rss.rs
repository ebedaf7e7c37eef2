//! [`report`]: how much memory the program takes for a query.

use std::error::Error;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Runs a query in the program and prints its last line, its time, and the most memory that the operating system saw of it.
pub(crate) fn report(what: &str, options: &[&str], query: &str) -> Result<(), Box<dyn Error>> {
    let start = Instant::now();
    let mut ocelli = Command::new(env!("CARGO_BIN_EXE_ocelli"))
        .args(["--format", "csv", "-q", query])
        .args(options)
        .stdout(Stdio::piped())
        .spawn()?;
    let mut peak = 0;
    while ocelli.try_wait()?.is_none() {
        // The most it has had so far: the last look is as good as all.
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

/// Bytes, from Linux's account of a process.
fn peak_rss(process: u32) -> Option<usize> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().trim_end_matches(" kB").trim().parse::<usize>().ok()? << 10)
}
