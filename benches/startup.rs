//! Time from the start of the process to its end: `cargo bench -p ocelli-cli --bench startup`

use std::process::Command;
use std::time::Instant;

const SAMPLES: usize = 31;

fn main() {
    for sql in ["SELECT 1", "SELECT classify(NULL)"] {
        let mut times: Vec<_> = (0..SAMPLES).map(|_| time(sql)).collect();
        times.sort_by(f64::total_cmp);
        println!("ocelli {sql:?}: median {:.1} ms, fastest {:.1} ms", times[SAMPLES / 2], times[0]);
    }
}

/// Milliseconds of one run.
fn time(sql: &str) -> f64 {
    let start = Instant::now();
    let output = Command::new(env!("CARGO_BIN_EXE_ocelli")).args(["-q", sql]).output().expect("ocelli starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    start.elapsed().as_secs_f64() * 1e3
}
