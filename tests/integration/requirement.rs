//! [`require`]: a trial that needs what not every machine has.

use libtest_mimic::Trial;

/// The trial itself when `missing` is `None`. Otherwise it is ignored for that reason, or fails when the variable
/// `OCELLI_REQUIRE` lists `what`.
pub(crate) fn require(what: &str, missing: Option<String>, trial: Trial) -> Trial {
    let Some(reason) = missing else {
        return trial;
    };
    let required = std::env::var("OCELLI_REQUIRE").unwrap_or_default();
    let name = format!("{} ({reason})", trial.name());
    if required.split(',').any(|item| item.trim() == what) {
        return Trial::test(name, move || Err(reason.into()));
    }
    Trial::test(name, || Ok(())).with_ignored_flag(true)
}
