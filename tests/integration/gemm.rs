//! The GPU's kernels against slow twins on the CPU. `OCELLI_GPU_ADAPTER` picks an adapter by its name, e.g. `llvmpipe`.

use std::error::Error;
use std::sync::Arc;

use libtest_mimic::Trial;
use ocelli_gpu::{Device, Gemm};

use crate::requirement::require;
use crate::trial;

pub(crate) fn trials() -> Vec<Trial> {
    let name = std::env::var("OCELLI_GPU_ADAPTER").ok();
    let (device, missing) = match Device::open(name.as_deref()) {
        Ok(device) => (Some(Arc::new(device)), None),
        Err(error) => (None, Some(error.to_string())),
    };
    type Test = fn(&Device) -> Result<(), Box<dyn Error>>;
    let tests: [(&str, Test); 3] = [
        ("gemm::agrees_with_the_reference", agrees_with_the_reference),
        ("gemm::shapes_are_checked", shapes_are_checked),
        ("gemm::numbers_come_back", numbers_come_back),
    ];
    let on_device = tests.into_iter().map(|(name, test)| {
        let device = device.clone();
        require("gpu", missing.clone(), trial(name, move || test(device.as_deref().ok_or("no device")?)))
    });
    on_device.chain([trial("gemm::an_unknown_adapter_lists_the_known", an_unknown_adapter)]).collect()
}

fn reference_gemm(a: &[f32], b: &[f32], [m, k, n]: [usize; 3]) -> Vec<f32> {
    let value = |row: usize, column: usize| (0..k).map(|i| a[row * k + i] * b[i * n + column]).sum();
    (0..m * n).map(|i| value(i / n, i % n)).collect()
}

/// Numbers without a pattern that a wrong index would repeat.
fn numbers(len: usize, seed: u32) -> Vec<f32> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 24) as f32 - 0.5
    };
    (0..len).map(|_| next()).collect()
}

fn agrees_with_the_reference(device: &Device) -> Result<(), Box<dyn Error>> {
    let gemm = Gemm::new(device);
    // Smaller than a tile, exactly tiles, one more than tiles, and long sides each way.
    let shapes = [[1, 1, 1], [16, 16, 16], [17, 33, 15], [3, 200, 5], [100, 1, 70], [1, 64, 129], [0, 4, 4], [4, 0, 4]];
    for shape @ [m, k, n] in shapes {
        let (a, b) = (numbers(m * k, 1), numbers(k * n, 2));
        let product = gemm.run(&device.upload(&a)?, &device.upload(&b)?, shape)?;
        let (ours, expected) = (device.download(&product)?, reference_gemm(&a, &b, shape));
        assert_eq!(ours.len(), expected.len(), "{shape:?}");
        // Sums of up to 200 products below 1/4, in another order: 200 roundings of 2^-24 each.
        let worst = ours.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst <= 200.0 * f32::EPSILON / 2.0, "{shape:?}: {worst}");
    }
    Ok(())
}

fn shapes_are_checked(device: &Device) -> Result<(), Box<dyn Error>> {
    let (a, b) = (device.upload(&[1.0; 6])?, device.upload(&[1.0; 5])?);
    let error = Gemm::new(device).run(&a, &b, [2, 3, 2]).expect_err("5 numbers are not 3 x 2");
    assert_eq!(error.to_string(), "gemm of shape [2, 3, 2] takes 6 values, got 5");
    let error = Gemm::new(device).run(&a, &b, [usize::MAX, 1, 1]).expect_err("no device has that");
    assert!(error.to_string().starts_with("gemm takes sides of up to "), "{error}");
    Ok(())
}

fn numbers_come_back(device: &Device) -> Result<(), Box<dyn Error>> {
    let values = numbers(1000, 3);
    assert_eq!(device.download(&device.upload(&values)?)?, values);
    assert_eq!(device.download(&device.zeros(3)?)?, [0.0; 3]);
    assert!(device.download(&device.upload(&[])?)?.is_empty());
    Ok(())
}

fn an_unknown_adapter() -> Result<(), Box<dyn Error>> {
    let error = Device::open(Some("no such card")).expect_err("there is none").to_string();
    assert!(error.starts_with("no GPU named 'no such card'; adapters: "), "{error}");
    Ok(())
}
