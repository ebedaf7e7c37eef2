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
            let Some(first) = next_signal().await else { return };
            // The receiver is gone if the query has ended.
            let _ = sender.send(first);
            thread::spawn(move || {
                thread::sleep(GRACE_PERIOD);
                process::exit(first.exit_status().into());
            });
            if let Some(second) = next_signal().await {
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

/// The next signal that asks the process to stop; `None` if none can be received.
#[cfg(unix)]
async fn next_signal() -> Option<Signal> {
    use tokio::signal::unix::{SignalKind, signal};

    let mut interrupt = signal(SignalKind::interrupt()).ok()?;
    let mut terminate = signal(SignalKind::terminate()).ok()?;
    let mut hang_up = signal(SignalKind::hangup()).ok()?;
    tokio::select! {
        Some(()) = interrupt.recv() => Some(Signal { name: "SIGINT", number: 2 }),
        Some(()) = terminate.recv() => Some(Signal { name: "SIGTERM", number: 15 }),
        Some(()) = hang_up.recv() => Some(Signal { name: "SIGHUP", number: 1 }),
        else => None,
    }
}

/// The next Ctrl-C.
#[cfg(not(unix))]
async fn next_signal() -> Option<Signal> {
    tokio::signal::ctrl_c().await.ok()?;
    Some(Signal { name: "Ctrl-C", number: 2 })
}
