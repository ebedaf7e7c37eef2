//! [`Autotuner`]: the fastest GEMM variant per problem shape, measured once and cached on disk.

use std::collections::HashMap;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use super::adapter::Adapter;
use crate::error::Error;
use crate::kernel::{Gemm, GemmVariant};
use crate::precision::Precision;

/// Selected variants by problem shape.
///
/// Disabled on software adapters, which take the first of [`Gemm::variants`].
#[derive(Debug)]
pub(crate) struct Autotuner {
    is_enabled: bool,
    file: Option<PathBuf>,
    choices: Mutex<HashMap<String, String>>,
}

impl Autotuner {
    /// Loads the cached choices of this adapter and driver.
    pub(crate) fn new(adapter: &Adapter) -> Self {
        let is_enabled = !adapter.is_software;
        let file = cache_dir().filter(|_| is_enabled).map(|folder| {
            let mut hasher = DefaultHasher::new();
            // Another version of this crate has other variants.
            (&adapter.name, &adapter.driver, env!("CARGO_PKG_VERSION")).hash(&mut hasher);
            folder.join(format!("{:016x}.variants", hasher.finish()))
        });
        // Entries that cannot be read are measured again.
        let text = file.as_ref().and_then(|file| fs::read_to_string(file).ok()).unwrap_or_default();
        let lines = text.lines().filter_map(|line| line.split_once('\t'));
        let choices = lines.map(|(shape, variant)| (shape.to_owned(), variant.to_owned())).collect();
        Self { is_enabled, file, choices: Mutex::new(choices) }
    }

    /// Selects the fastest of the first few `variants`; `time` runs one and returns its seconds. Variants that the driver rejects
    /// are skipped.
    ///
    /// # Errors
    /// If the device is lost, or the driver rejects every variant.
    pub(crate) fn select(
        &self,
        gemm: &Gemm,
        precision: Precision,
        variants: &[GemmVariant],
        time: impl Fn(GemmVariant) -> Result<f64, Error>,
    ) -> Result<Option<GemmVariant>, Error> {
        /// Each candidate has to be compiled.
        const MAX_CANDIDATES: usize = 4;
        /// Smaller products finish before tuning pays off; larger ones only repeat the same tiles.
        const TUNED_M: RangeInclusive<usize> = 1 << 10..=1 << 16;
        if !self.is_enabled || gemm.m < *TUNED_M.start() {
            return Ok(variants.first().copied());
        }
        let Gemm { m, k, n, batch, a, b, .. } = gemm;
        // Products between two powers of four share a choice.
        let bits = (*m).min(*TUNED_M.end()).ilog2() / 2 * 2;
        let shape = format!("4^{} {k} {n} {batch} {a:?} {b:?} {}", bits / 2, precision.name());
        let cached = self.choices.lock().unwrap_or_else(PoisonError::into_inner).get(&shape).cloned();
        if let Some(variant) =
            cached.and_then(|cached| variants.iter().find(|variant| format!("{variant:?}") == cached))
        {
            return Ok(Some(*variant));
        }
        let (mut timings, mut rejected) = (Vec::new(), None);
        for &variant in variants {
            match time(variant) {
                Ok(seconds) => timings.push((seconds, variant)),
                Err(error @ Error::Kernel { .. }) => rejected = Some(error),
                Err(error) => return Err(error),
            }
            if timings.len() == MAX_CANDIDATES {
                break;
            }
        }
        match (timings.into_iter().min_by(|a, b| a.0.total_cmp(&b.0)), rejected) {
            (Some((_, variant)), _) => {
                self.store(shape, format!("{variant:?}"));
                Ok(Some(variant))
            }
            (None, Some(error)) => Err(error),
            (None, None) => Ok(None),
        }
    }

    /// Caches a choice. If the file cannot be written, the next process measures again.
    fn store(&self, shape: String, variant: String) {
        let mut choices = self.choices.lock().unwrap_or_else(PoisonError::into_inner);
        choices.insert(shape, variant);
        let Some(file) = &self.file else { return };
        let mut lines: Vec<String> = choices.iter().map(|(shape, variant)| format!("{shape}\t{variant}\n")).collect();
        lines.sort();
        // Written to a temporary file and renamed, since another process may write at the same time.
        let temporary = file.with_extension(format!("{}", std::process::id()));
        let written =
            file.parent().map(fs::create_dir_all).transpose().and_then(|_| fs::write(&temporary, lines.concat()));
        let _ = written.and_then(|()| fs::rename(&temporary, file));
    }
}

/// `ocelli/gpu` in the user's cache directory.
fn cache_dir() -> Option<PathBuf> {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let home =
        || variable("HOME").map(|home| home.join(if cfg!(target_os = "macos") { "Library/Caches" } else { ".cache" }));
    let caches = variable("XDG_CACHE_HOME").or_else(|| variable("LOCALAPPDATA")).or_else(home)?;
    Some(caches.join("ocelli").join("gpu"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::{LhsLayout, RhsLayout};

    fn gemm() -> Gemm {
        let a = LhsLayout::Matrix { batch_stride: 0, row_stride: 64, k_stride: 1 };
        Gemm { m: 5000, k: 64, n: 64, batch: 1, a, b: RhsLayout::Packed, out_batch_stride: 0, ldc: 64 }
    }

    fn autotuner(is_enabled: bool, file: Option<PathBuf>) -> Autotuner {
        Autotuner { is_enabled, file, choices: Mutex::default() }
    }

    #[test]
    fn the_fastest_variant_is_selected_and_cached() {
        let (gemm, variants) = (gemm(), gemm().variants(None));
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("below/card.variants");
        let autotuner = autotuner(true, Some(file.clone()));
        let time = |variant: GemmVariant| Ok(if variant == variants[2] { 1.0 } else { 2.0 });
        assert_eq!(autotuner.select(&gemm, Precision::F32, &variants, time), Ok(Some(variants[2])));
        let time = |_| panic!("the choice is cached");
        assert_eq!(autotuner.select(&gemm, Precision::F32, &variants, time), Ok(Some(variants[2])));
        assert!(fs::read_to_string(file).unwrap().ends_with(&format!("\t{:?}\n", variants[2])));
    }

    #[test]
    fn rejected_variants_are_skipped() {
        let (gemm, variants) = (gemm(), gemm().variants(None));
        let rejected = Error::Kernel { kernel: "gemm".to_owned(), reason: "no".to_owned() };
        let one = |variant: GemmVariant| if variant == variants[1] { Ok(1.0) } else { Err(rejected.clone()) };
        assert_eq!(autotuner(true, None).select(&gemm, Precision::F32, &variants, one), Ok(Some(variants[1])));
        let none = |_| Err(rejected.clone());
        assert_eq!(autotuner(true, None).select(&gemm, Precision::F32, &variants, none), Err(rejected.clone()));
        assert_eq!(autotuner(false, None).select(&gemm, Precision::F32, &variants, none), Ok(Some(variants[0])));
        let small = Gemm { m: 100, ..gemm };
        assert_eq!(autotuner(true, None).select(&small, Precision::F32, &variants, none), Ok(Some(variants[0])));
    }
}
