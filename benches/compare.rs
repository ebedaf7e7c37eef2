//! [`compare`] times two ways to do one job in turns, so that what else the machine does falls on both alike.

use std::time::{Duration, Instant};

/// How often each way is timed.
const ROUNDS: usize = 11;

/// Runs `plain` and `ours` alternately, `items` items a run, and prints the median of each and how fast ours is.
pub(crate) fn compare(job: &str, unit: &str, items: usize, plain: (&str, impl FnMut()), ours: (&str, impl FnMut())) {
    let (plain_name, mut plain) = plain;
    let (our_name, mut ours) = ours;
    // Caches are filled and lazy parts are there before anything counts.
    plain();
    ours();
    let (mut plain_times, mut our_times) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
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
