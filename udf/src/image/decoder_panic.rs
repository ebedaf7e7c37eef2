//! [`catch_decoder_panic`] turns the panic of a decoder into an error, and prints nothing.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::panic::{self, Location, PanicHookInfo, UnwindSafe, catch_unwind};
use std::sync::Once;
use std::thread;

use super::{ImageError, one_line};

/// Decoders read untrusted bytes, and some are third-party code: a panic counts as one invalid image and does not end the process.
///
/// The reason is in the error. A panic hook that the application has set before the first call does not see the panic, and sees all
/// others; one that it sets afterwards replaces ours, and sees all.
pub(super) fn catch_decoder_panic<T>(
    read: impl FnOnce() -> Result<T, ImageError> + UnwindSafe,
) -> Result<T, ImageError> {
    install_hook();
    let was_decoding = IS_DECODING.replace(true);
    let result = catch_unwind(read);
    IS_DECODING.set(was_decoding);
    result.unwrap_or_else(|payload| {
        let message = one_line(panic_message(&*payload));
        let reason = match LOCATION.take() {
            Some(location) => format!("{message} at {location}"),
            None => message,
        };
        Err(ImageError::DecoderPanicked { reason })
    })
}

thread_local! {
    /// Whether this thread is in [`catch_decoder_panic`].
    static IS_DECODING: Cell<bool> = const { Cell::new(false) };
    /// Where a decoder panicked on this thread.
    static LOCATION: RefCell<Option<String>> = const { RefCell::new(None) };
}

type PanicHook = Box<dyn Fn(&PanicHookInfo<'_>) + Send + Sync>;

/// Sets the panic hook of the process once.
fn install_hook() {
    static INSTALLED: Once = Once::new();
    // A hook cannot be set while the thread unwinds.
    if !thread::panicking() {
        INSTALLED.call_once(|| panic::set_hook(silent_while_decoding(panic::take_hook())));
    }
}

/// The hook `previous` for all panics but those of decoders, which are only noted.
fn silent_while_decoding(previous: PanicHook) -> PanicHook {
    Box::new(move |info| {
        if IS_DECODING.get() {
            LOCATION.set(info.location().map(short_location));
        } else {
            previous(info);
        }
    })
}

/// Package, file and line: the folders above are those of the machine that compiled it.
fn short_location(location: &Location<'_>) -> String {
    let file = location.file();
    let start = file.rfind("/src/").and_then(|end| file[..end].rfind('/')).map_or(0, |slash| slash + 1);
    format!("{}:{}", &file[start..], location.line())
}

fn panic_message(payload: &(dyn Any + Send)) -> &str {
    match (payload.downcast_ref::<&str>(), payload.downcast_ref::<String>()) {
        (Some(message), _) => message,
        (None, Some(message)) => message,
        (None, None) => "no message",
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// One test, because the hook belongs to the process.
    #[test]
    fn only_panics_of_decoders_are_silent() {
        install_hook();
        let installed = panic::take_hook();
        let calls = Arc::new(AtomicUsize::new(0));
        let (this_test, counter) = (thread::current().id(), Arc::clone(&calls));
        panic::set_hook(silent_while_decoding(Box::new(move |_| {
            if thread::current().id() == this_test {
                counter.fetch_add(1, Ordering::Relaxed);
            }
        })));

        let formatted: Result<(), _> = catch_decoder_panic(|| panic!("table {}\n  is broken", 7));
        let constant: Result<(), _> = catch_decoder_panic(|| panic!("no table"));
        let nested: Result<(), _> = catch_decoder_panic(|| {
            let _ = catch_decoder_panic(|| Ok(()));
            panic!("after another image");
        });
        let other_payload: Result<(), _> = catch_decoder_panic(|| panic::panic_any(7));
        let calls_of_decoders = calls.load(Ordering::Relaxed);
        let other: thread::Result<()> = catch_unwind(|| panic!("not a decoder"));
        panic::set_hook(installed);

        let formatted = formatted.unwrap_err().to_string();
        let start = "its decoder panicked (table 7 is broken at udf/src/image/decoder_panic.rs:";
        assert!(formatted.starts_with(start), "{formatted}");
        assert!(formatted.ends_with("); please report this with the image file"), "{formatted}");
        assert!(constant.unwrap_err().to_string().contains("(no table at "));
        assert!(nested.unwrap_err().to_string().contains("(after another image at "));
        assert!(other_payload.unwrap_err().to_string().contains("(no message at "));
        assert_eq!(calls_of_decoders, 0);
        assert!(other.is_err());
        assert_eq!(calls.load(Ordering::Relaxed), 1, "the hook of the application");
    }

    #[test]
    fn results_are_returned() {
        assert_eq!(catch_decoder_panic(|| Ok(7)), Ok(7));
        assert_eq!(catch_decoder_panic::<()>(|| Err(ImageError::Empty)), Err(ImageError::Empty));
    }
}
