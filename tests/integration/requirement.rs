//! [`require`]: a trial with a requirement that not every machine meets.

use libtest_mimic::Trial;

/// The trial itself when `missing` is `None`. Otherwise it is ignored for that reason, or fails when the variable
/// `OCELLI_REQUIRE` lists `what`.
pub(crate) fn require(what: &str, missing: Option<String>, trial: Trial) -> Trial {
    let Some(reason) = missing else {
        return trial;
    };
    let required = std::env::var("OCELLI_REQUIRE").unwrap_or_default();
    let name = format!("{} ({reason})", trial.name());
    let is_required = required.split(',').any(|item| item.trim() == what);
    Trial::test(name, move || Err(reason.into())).with_ignored_flag(!is_required)
}
