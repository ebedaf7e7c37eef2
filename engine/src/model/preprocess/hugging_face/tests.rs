//! Tests of [`parse`](super::parse). What transformers does was established with version 5.24, its `…ImageProcessorPil` classes.

use super::*;

/// The configuration as displayed and the remarks, or the error.
fn display(text: &str) -> String {
    display_with(text, &PreprocessOverrides::default())
}

fn display_with(text: &str, overrides: &PreprocessOverrides) -> String {
    parse(text, overrides).map_or_else(|error| error, |(config, remarks)| format!("{config}{remarks}"))
}

const NORMALIZED: &str = ", * 0.003921569, - (0.5, 0.5, 0.5), / (0.5, 0.5, 0.5), RGB, NCHW";

#[test]
fn processors_have_different_defaults() {
    assert_eq!(
        display(r#"{"feature_extractor_type": "ViTFeatureExtractor", "size": 224, "resample": 2}"#),
        format!("resize 224 x 224 (bilinear){NORMALIZED}")
    );
    let half = r#""image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]"#;
    assert_eq!(
        display(&format!(
            r#"{{"feature_extractor_type": "ConvNextFeatureExtractor", "size": 224, "crop_pct": 0.875, "resample": 3, {half}}}"#
        )),
        format!("resize shortest edge 256 (bicubic), crop 224 x 224{NORMALIZED}")
    );
    assert_eq!(
        display(&format!(
            r#"{{"image_processor_type": "ConvNextImageProcessor", "size": {{"shortest_edge": 384}}, "resample": 3, {half}}}"#
        )),
        format!("resize 384 x 384 (bicubic){NORMALIZED}")
    );
    assert_eq!(
        display(&format!(
            r#"{{"feature_extractor_type": "CLIPFeatureExtractor", "size": 224, "crop_size": 224, "do_center_crop": true, {half}}}"#
        )),
        format!("resize shortest edge 224 (bicubic), crop 224 x 224{NORMALIZED}")
    );
    assert_eq!(
        display(
            r#"{"image_processor_type": "MobileViTImageProcessor", "size": {"shortest_edge": 288}, "crop_size": {"height": 256, "width": 256}}"#
        ),
        "resize shortest edge 288 (bicubic), crop 256 x 256, * 0.003921569, BGR, NCHW"
    );
}

#[test]
fn absent_fields_have_the_defaults_of_the_class() {
    for (name, expected) in [
        ("ViT", "resize 224 x 224 (bilinear)"),
        ("Beit", "resize 224 x 224 (bicubic)"),
        ("DeiT", "resize 256 x 256 (bicubic), crop 224 x 224"),
        ("MobileNetV2", "resize shortest edge 256 (bilinear), crop 224 x 224"),
        ("Siglip", "resize 224 x 224 (bicubic)"),
        ("ConvNext", "resize 384 x 384 (bicubic)"),
    ] {
        let text = format!(r#"{{"image_processor_type": "{name}ImageProcessor"}}"#);
        assert_eq!(display(&text), format!("{expected}{NORMALIZED}"));
    }
}

#[test]
fn a_crop_percentage_enlarges_the_resize() {
    let pool_former = |fields: &str| {
        let text = format!(r#"{{"image_processor_type": "PoolFormerImageProcessor", "crop_size": 16, {fields}}}"#);
        display(&text).split(", *").next().unwrap_or_default().to_owned()
    };
    assert_eq!(pool_former(r#""size": 16"#), "resize shortest edge 17 (bicubic), crop 16 x 16");
    assert_eq!(pool_former(r#""size": [16, 16], "crop_pct": 0.8"#), "resize shortest edge 20 (bicubic), crop 16 x 16");
    assert_eq!(pool_former(r#""size": [16, 14]"#), "resize 15 x 17 (bicubic), crop 16 x 16");
    assert_eq!(pool_former(r#""size": 16, "crop_pct": null"#), "resize shortest edge 16 (bicubic), crop 16 x 16");
    assert_eq!(
        pool_former(r#""size": 16, "crop_pct": "0.9""#),
        r#"crop_pct is "0.9"; expected a number, or set the option 'size'"#
    );
    // The classes of other processors have no such attribute.
    let ignored = display(r#"{"image_processor_type": "ViTImageProcessor", "crop_pct": 0.5}"#);
    assert_eq!(ignored, format!("resize 224 x 224 (bilinear){NORMALIZED}"));
}

#[test]
fn steps_can_be_disabled() {
    assert_eq!(
        display(
            r#"{"size": 8, "do_resize": false, "crop_size": 4, "do_center_crop": true, "do_rescale": false, "do_normalize": false}"#
        ),
        "resize none (bilinear), crop 4 x 4, RGB, NCHW"
    );
    // A flag that is null is false, and the values of the step may be null, too.
    assert_eq!(
        display(
            r#"{"image_processor_type": "CLIPImageProcessor", "size": [8, 6], "do_center_crop": null, "crop_size": null, "do_rescale": null,
                "rescale_factor": null, "do_normalize": null, "image_mean": null, "image_std": null}"#
        ),
        "resize 6 x 8 (bicubic), RGB, NCHW"
    );
    assert_eq!(
        display(
            r#"{"image_processor_type": "CLIPImageProcessor", "do_resize": null, "size": null, "resample": null, "do_normalize": 0}"#
        ),
        "resize none (bicubic), crop 224 x 224, * 0.003921569, RGB, NCHW"
    );
}

#[test]
fn one_number_normalizes_all_channels() {
    assert_eq!(
        display(r#"{"image_processor_type": "ViTImageProcessor", "image_mean": 0.25, "image_std": 2}"#),
        "resize 224 x 224 (bilinear), * 0.003921569, - (0.25, 0.25, 0.25), / (2, 2, 2), RGB, NCHW"
    );
}

#[test]
fn efficient_net_divides_again_and_can_subtract_1() {
    let display = |fields: &str| {
        display(&format!(r#"{{"image_processor_type": "EfficientNetImageProcessor", "size": 8, {fields}}}"#))
    };
    assert_eq!(
        display(r#""rescale_offset": true"#),
        "resize 8 x 8 (bicubic), * 0.003921569, - (1.5, 1.5, 1.5), / (0.25, 0.25, 0.25), RGB, NCHW"
    );
    assert_eq!(
        display(r#""do_normalize": false"#),
        "resize 8 x 8 (bicubic), * 0.003921569, / (0.5, 0.5, 0.5), RGB, NCHW"
    );
    assert_eq!(display(r#""include_top": false"#), format!("resize 8 x 8 (bicubic){NORMALIZED}"));
}

#[test]
fn remarks_say_what_was_assumed() {
    let resampled = |name: &str| {
        let text = format!(r#"{{"image_processor_type": "ViTImageProcessor", "resample": "{name}"}}"#);
        display(&text).split("NCHW").nth(1).unwrap_or_default().to_owned()
    };
    assert_eq!(resampled("bilinear"), "");
    assert_eq!(resampled("bicubic"), ", whose resample 'bicubic' is read as bilinear, as by transformers");
    assert_eq!(
        display(r#"{"image_processor_type": "ViTHybridImageProcessor", "size": 8, "do_normalize": false}"#),
        "resize 8 x 8 (bilinear), * 0.003921569, RGB, NCHW, whose processor 'ViTHybridImageProcessor' is unknown and read as a generic one"
    );
    assert_eq!(display(r#"{"size": 8, "do_normalize": false}"#), "resize 8 x 8 (bilinear), * 0.003921569, RGB, NCHW");
}

#[test]
fn unsupported_values_name_the_option() {
    for (text, problem) in [
        (
            r#"{"size": 8, "resample": 6}"#,
            "resample is 6; expected a number of Pillow's filters, 0 to 5, or set the option 'resample'",
        ),
        (
            r#"{"size": 8, "resample": null}"#,
            "resample is null; expected a number of Pillow's filters, 0 to 5, or set the option 'resample'",
        ),
        (r#"{"size": 8, "do_pad": true}"#, "do_pad is true, which is not supported; set the options 'size' and 'crop'"),
        (r#"{"do_resize": true}"#, "size is missing; set the option 'size'"),
        (
            r#"{"size": {"max_height": 8}}"#,
            r#"size is {"max_height":8}; expected a number, shortest_edge, or height and width, or set the option 'size'"#,
        ),
        (
            r#"{"size": [8]}"#,
            "size is [8]; expected a number, shortest_edge, or height and width, or set the option 'size'",
        ),
        (
            r#"{"size": 8.0}"#,
            "size is 8.0; expected a number, shortest_edge, or height and width, or set the option 'size'",
        ),
        (
            r#"{"image_processor_type": "ViTImageProcessor", "do_center_crop": true}"#,
            "crop_size is missing; set the option 'crop'",
        ),
        (
            r#"{"size": 8, "do_center_crop": true, "crop_size": null}"#,
            "crop_size is null; expected a number, or height and width, or set the option 'crop'",
        ),
        (
            r#"{"size": 8, "image_mean": null}"#,
            "image_mean is null; expected a number or three, or set the option 'mean'",
        ),
        (
            r#"{"size": 8, "image_std": [1, 2]}"#,
            "image_std is [1,2]; expected a number or three, or set the option 'std'",
        ),
        (
            r#"{"size": 8, "rescale_factor": NaN}"#,
            r#"rescale_factor is "NaN"; expected a number, or set the option 'rescale_factor'"#,
        ),
        (
            r#"{"size": 8, "do_normalize": "no"}"#,
            r#"do_normalize is "no"; expected true or false, or set the option 'mean'"#,
        ),
        (
            r#"{"image_processor_type": "NewImageProcessor", "size": {"shortest_edge": 8}, "crop_pct": 0.9}"#,
            "crop_pct is set, which is not supported for 'NewImageProcessor'; set the option 'size'",
        ),
        (
            r#"{"image_processor_type": "ConvNextImageProcessor", "size": [8, 8]}"#,
            "size has no shortest_edge, which 'ConvNextImageProcessor' needs; set the option 'size'",
        ),
        (
            "[1]",
            "it is [1]; expected an object; correct it, or set the options 'size', 'crop', 'resample', 'rescale_factor', 'mean', 'std' and 'channels'",
        ),
    ] {
        assert_eq!(display(text), problem);
    }
}

#[test]
fn an_option_wins_before_the_value_is_read() {
    let all = PreprocessOverrides {
        size: Some(Resize::Exact(8, 8)),
        crop: Some(None),
        resample: Some(Resampling::Box),
        rescale_factor: Some(1.0),
        mean: Some([0.0; 3]),
        std: Some([1.0; 3]),
        channels: Some(Channels::Rgb),
        layout: None,
    };
    let none = PreprocessOverrides::default();
    // Each option, and a file in which only the value that it replaces is invalid.
    let cases = [
        (PreprocessOverrides { size: all.size, ..none.clone() }, r#"{"size": "large"}"#),
        (PreprocessOverrides { size: all.size, ..none.clone() }, r#"{"do_resize": "yes"}"#),
        (
            PreprocessOverrides { crop: all.crop, ..none.clone() },
            r#"{"size": 8, "do_center_crop": true, "crop_size": "x"}"#,
        ),
        (PreprocessOverrides { resample: all.resample, ..none.clone() }, r#"{"size": 8, "resample": [3]}"#),
        (
            PreprocessOverrides { rescale_factor: all.rescale_factor, ..none.clone() },
            r#"{"size": 8, "rescale_factor": "x"}"#,
        ),
        (PreprocessOverrides { mean: all.mean, ..none.clone() }, r#"{"size": 8, "image_mean": null}"#),
        (PreprocessOverrides { std: all.std, ..none.clone() }, r#"{"size": 8, "image_std": [1]}"#),
        (
            PreprocessOverrides { channels: all.channels, ..none.clone() },
            r#"{"size": 8, "do_flip_channel_order": "x"}"#,
        ),
        (PreprocessOverrides { size: all.size, crop: all.crop, ..none.clone() }, r#"{"do_pad": true}"#),
    ];
    for (overrides, text) in cases {
        assert!(parse(text, &none).is_err(), "{text}");
        assert!(parse(text, &overrides).is_ok(), "{text}: {:?}", parse(text, &overrides));
    }
    let text = r#"{"size": 0, "crop_size": 1, "do_center_crop": true, "resample": 9, "rescale_factor": [], "image_mean": {}, "image_std": 0}"#;
    assert_eq!(display_with(text, &all), "resize 8 x 8 (box), RGB, NCHW");
}
