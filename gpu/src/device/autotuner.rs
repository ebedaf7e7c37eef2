//! [`Tuner`]: which road a product takes on a device, measured once and kept on the disk.

use std::collections::HashMap;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use super::adapter::Adapter;
use crate::error::Error;
use crate::kernel::{Gemm, Road};
use crate::precision::Precision;

/// Choices by the shape of a product.
///
/// On an adapter that computes on the CPU nothing is measured: the first road of [`Gemm::roads`] is taken.
#[derive(Debug)]
pub(crate) struct Tuner {
    measures: bool,
    file: Option<PathBuf>,
    choices: Mutex<HashMap<String, String>>,
}

impl Tuner {
    /// With what was chosen for this adapter and driver before.
    pub(crate) fn new(adapter: &Adapter) -> Self {
        let measures = !adapter.is_software;
        let file = folder().filter(|_| measures).map(|folder| {
            let mut hasher = DefaultHasher::new();
            // Choices of another version are among other roads.
            (&adapter.name, &adapter.driver, env!("CARGO_PKG_VERSION")).hash(&mut hasher);
            folder.join(format!("{:016x}.roads", hasher.finish()))
        });
        // What cannot be read is measured again.
        let text = file.as_ref().and_then(|file| fs::read_to_string(file).ok()).unwrap_or_default();
        let lines = text.lines().filter_map(|line| line.split_once('\t'));
        let choices = lines.map(|(shape, road)| (shape.to_owned(), road.to_owned())).collect();
        Self { measures, file, choices: Mutex::new(choices) }
    }

    /// The fastest of some roads, of which the likeliest are tried; `time` runs one and gives its seconds. One that a driver
    /// refuses is passed over.
    ///
    /// # Errors
    /// When the device is lost, or none of them runs.
    pub(crate) fn choose(
        &self,
        gemm: &Gemm,
        precision: Precision,
        roads: &[Road],
        time: impl Fn(Road) -> Result<f64, Error>,
    ) -> Result<Option<Road>, Error> {
        /// Each has to be compiled.
        const TRIED: usize = 4;
        /// Fewer are done before it matters; more are as many tiles one behind the other.
        const ROWS: RangeInclusive<usize> = 1 << 10..=1 << 16;
        if !self.measures || gemm.rows < *ROWS.start() {
            return Ok(roads.first().copied());
        }
        let Gemm { rows, depth, columns, batch, a, b, .. } = gemm;
        // Between two powers of four they are alike.
        let bits = (*rows).min(*ROWS.end()).ilog2() / 2 * 2;
        let shape = format!("4^{} {depth} {columns} {batch} {a:?} {b:?} {}", bits / 2, precision.name());
        let known = self.choices.lock().unwrap_or_else(PoisonError::into_inner).get(&shape).cloned();
        if let Some(road) = known.and_then(|known| roads.iter().find(|road| format!("{road:?}") == known)) {
            return Ok(Some(*road));
        }
        let (mut timed, mut refused) = (Vec::new(), None);
        for &road in roads {
            match time(road) {
                Ok(seconds) => timed.push((seconds, road)),
                Err(error @ Error::Kernel { .. }) => refused = Some(error),
                Err(error) => return Err(error),
            }
            if timed.len() == TRIED {
                break;
            }
        }
        match (timed.into_iter().min_by(|one, other| one.0.total_cmp(&other.0)), refused) {
            (Some((_, road)), _) => {
                self.keep(shape, format!("{road:?}"));
                Ok(Some(road))
            }
            (None, Some(error)) => Err(error),
            (None, None) => Ok(None),
        }
    }

    /// Remembers a choice. A disk that takes none costs the next process a second.
    fn keep(&self, shape: String, road: String) {
        let mut choices = self.choices.lock().unwrap_or_else(PoisonError::into_inner);
        choices.insert(shape, road);
        let Some(file) = &self.file else { return };
        let mut lines: Vec<String> = choices.iter().map(|(shape, road)| format!("{shape}\t{road}\n")).collect();
        lines.sort();
        // Another process may write at the same time: a whole file takes the place of a whole file.
        let whole = file.with_extension(format!("{}", std::process::id()));
        let written = file.parent().map(fs::create_dir_all).transpose().and_then(|_| fs::write(&whole, lines.concat()));
        let _ = written.and_then(|()| fs::rename(&whole, file));
    }
}

/// `ocelli/gpu` in the user's folder for caches.
fn folder() -> Option<PathBuf> {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let home =
        || variable("HOME").map(|home| home.join(if cfg!(target_os = "macos") { "Library/Caches" } else { ".cache" }));
    let caches = variable("XDG_CACHE_HOME").or_else(|| variable("LOCALAPPDATA")).or_else(home)?;
    Some(caches.join("ocelli").join("gpu"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::{A, B};

    fn gemm() -> Gemm {
        let a = A::Matrix { batch: 0, row: 64, depth: 1 };
        Gemm { rows: 5000, depth: 64, columns: 64, batch: 1, a, b: B::Weights, out_batch: 0, out_row: 64 }
    }

    fn tuner(measures: bool, file: Option<PathBuf>) -> Tuner {
        Tuner { measures, file, choices: Mutex::default() }
    }

    #[test]
    fn the_fastest_road_is_taken_and_kept() {
        let (gemm, roads) = (gemm(), gemm().roads(None));
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("below/card.roads");
        let tuner = tuner(true, Some(file.clone()));
        let seconds = |road: Road| Ok(if road == roads[2] { 1.0 } else { 2.0 });
        assert_eq!(tuner.choose(&gemm, Precision::F32, &roads, seconds), Ok(Some(roads[2])));
        let never = |_| panic!("it is known");
        assert_eq!(tuner.choose(&gemm, Precision::F32, &roads, never), Ok(Some(roads[2])));
        assert!(fs::read_to_string(file).unwrap().ends_with(&format!("\t{:?}\n", roads[2])));
    }

    #[test]
    fn what_a_driver_refuses_is_passed_over() {
        let (gemm, roads) = (gemm(), gemm().roads(None));
        let refused = Error::Kernel { kernel: "gemm".to_owned(), reason: "no".to_owned() };
        let one = |road: Road| if road == roads[1] { Ok(1.0) } else { Err(refused.clone()) };
        assert_eq!(tuner(true, None).choose(&gemm, Precision::F32, &roads, one), Ok(Some(roads[1])));
        let none = |_| Err(refused.clone());
        assert_eq!(tuner(true, None).choose(&gemm, Precision::F32, &roads, none), Err(refused.clone()));
        assert_eq!(tuner(false, None).choose(&gemm, Precision::F32, &roads, none), Ok(Some(roads[0])));
        let few = Gemm { rows: 100, ..gemm };
        assert_eq!(tuner(true, None).choose(&few, Precision::F32, &roads, none), Ok(Some(roads[0])));
    }
}
