//! [`run_until_signal`]: ends a query in an orderly way when the process is asked to stop, so that incomplete output files are removed.

use std::future::Future;
use std::process;
use std::thread;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;

/// The signal that ended the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Signal {
    pub(crate) name: &'static str,
    number: u8,
}

impl Signal {
    /// The exit status by the convention of shells.
    pub(crate) fn exit_status(self) -> u8 {
        128 + self.number
    }
}

/// How long a query may take to stop.
const GRACE_PERIOD: Duration = Duration::from_secs(5);

/// Runs `work` to its end, or drops it at the first signal. A second signal, or a query that does not stop within [`GRACE_PERIOD`], ends
/// the process at once.
///
/// Signals are received on a thread of their own: those of the runtime may be busy with the query.
pub(crate) fn run_until_signal<T>(runtime: &Runtime, work: impl Future<Output = T>) -> Result<T, Signal> {
    let (sender, receiver) = oneshot::channel();
    thread::spawn(move || {
        let Ok(runtime) = Builder::new_current_thread().enable_io().build() else { return };
        runtime.block_on(async {
            let Some(mut signals) = Signals::new() else { return };
            let Some(first) = signals.next().await else { return };
            // The receiver is gone if the query has ended.
            let _ = sender.send(first);
            thread::spawn(move || {
                thread::sleep(GRACE_PERIOD);
                process::exit(first.exit_status().into());
            });
            if let Some(second) = signals.next().await {
                process::exit(second.exit_status().into());
            }
        });
    });
    runtime.block_on(async {
        tokio::select! {
            biased;
            Ok(signal) = receiver => Err(signal),
            result = work => Ok(result),
        }
    })
}

/// The signals that ask the process to stop. They are received from its creation on, also between two calls of `next`.
#[cfg(unix)]
struct Signals([(tokio::signal::unix::Signal, Signal); 3]);

#[cfg(unix)]
impl Signals {
    /// `None` if signals cannot be received.
    fn new() -> Option<Self> {
        use tokio::signal::unix::{SignalKind, signal};

        Some(Self([
            (signal(SignalKind::interrupt()).ok()?, Signal { name: "SIGINT", number: 2 }),
            (signal(SignalKind::terminate()).ok()?, Signal { name: "SIGTERM", number: 15 }),
            (signal(SignalKind::hangup()).ok()?, Signal { name: "SIGHUP", number: 1 }),
        ]))
    }

    async fn next(&mut self) -> Option<Signal> {
        let [(interrupt, sigint), (terminate, sigterm), (hang_up, sighup)] = &mut self.0;
        tokio::select! {
            Some(()) = interrupt.recv() => Some(*sigint),
            Some(()) = terminate.recv() => Some(*sigterm),
            Some(()) = hang_up.recv() => Some(*sighup),
            else => None,
        }
    }
}

/// Ctrl-C.
#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn new() -> Option<Self> {
        Some(Self)
    }

    async fn next(&mut self) -> Option<Signal> {
        tokio::signal::ctrl_c().await.ok()?;
        Some(Signal { name: "Ctrl-C", number: 2 })
    }
}
