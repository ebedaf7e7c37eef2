//! [`compare`] times two implementations alternately, so that other load on the machine affects both.

use std::time::{Duration, Instant};

/// Samples per implementation.
const SAMPLES: usize = 11;

/// Runs `plain` and `ours` alternately, `items` items per run, and prints both medians and their ratio.
pub(crate) fn compare(job: &str, unit: &str, items: usize, plain: (&str, impl FnMut()), ours: (&str, impl FnMut())) {
    let (plain_name, mut plain) = plain;
    let (our_name, mut ours) = ours;
    // Warm-up: fills caches and initializes lazy state.
    plain();
    ours();
    let (mut plain_times, mut our_times) = (Vec::new(), Vec::new());
    for _ in 0..SAMPLES {
        plain_times.push(time(&mut plain));
        our_times.push(time(&mut ours));
    }
    let (plain_time, our_time) = (median(plain_times), median(our_times));
    println!("{job}");
    for (name, time) in [(plain_name, plain_time), (our_name, our_time)] {
        let rate = items as f64 / time.as_secs_f64();
        println!("  {name:<28} {:>10.3} ms  {rate:>12.1} {unit}/s", time.as_secs_f64() * 1e3);
    }
    println!("  speed of {our_name}: {:.3} x {plain_name}", plain_time.as_secs_f64() / our_time.as_secs_f64());
}

fn time(run: &mut impl FnMut()) -> Duration {
    let start = Instant::now();
    run();
    start.elapsed()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
