//! Resized pixels are identical to Pillow's, for the files of `tests/data/resize`.

use std::error::Error;
use std::fs;
use std::path::Path;

use libtest_mimic::Trial;
use ocelli_udf::image::{Resampling, RgbImage, resize};

use crate::trial;

const FOLDER: &str = "tests/data/resize";

pub(crate) fn trials() -> Vec<Trial> {
    let files = fs::read_dir(FOLDER).expect("a folder").map(|entry| entry.expect("an entry").path());
    let images = files.filter(|path| path.extension().is_some_and(|extension| extension == "png"));
    let names = images.map(|path| path.file_stem().expect("a name").to_string_lossy().into_owned());
    names.map(|name| trial(format!("resize::{name}"), move || equals_pillow(&name))).collect()
}

/// `name` is `IMAGE.WIDTHxHEIGHT.FILTER`.
fn equals_pillow(name: &str) -> Result<(), Box<dyn Error>> {
    let [image, _, filter] = name.split('.').collect::<Vec<_>>()[..] else {
        return Err("the name is not IMAGE.WIDTHxHEIGHT.FILTER".into());
    };
    let filter = Resampling::from_name(filter).ok_or("no such filter")?;
    let theirs = read(&Path::new(FOLDER).join(format!("{name}.png")))?;
    let source = read(&Path::new("examples/data/photos").join(format!("{image}.png")))?;
    let ours = resize(&source, theirs.width, theirs.height, filter);
    let differing = ours.data.iter().zip(&theirs.data).filter(|(a, b)| a != b).count();
    assert_eq!(differing, 0, "differing values of {}", theirs.data.len());
    Ok(())
}

fn read(path: &Path) -> Result<RgbImage, Box<dyn Error>> {
    let image = image::open(path)?.into_rgb8();
    Ok(RgbImage { width: image.width(), height: image.height(), data: image.into_raw() })
}
